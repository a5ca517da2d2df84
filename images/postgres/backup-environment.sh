#!/bin/sh
# Sourced, not run: what pgBackRest must know, from what a client of the object store is told. Secrets stay in the environment.
set -eu
: "${OBJECTS_BUCKET:?is not set}" "${OBJECTS_REGION:?is not set}" "${OBJECTS_CA_FILE:?is not set}"
: "${OBJECTS_KEY_ID:?is not set}" "${OBJECTS_KEY:?is not set}" "${BACKUPS_ENCRYPTION_KEY:?is not set}"
export PGBACKREST_STANZA=postgres PGBACKREST_PG1_PATH="$PGDATA" PGBACKREST_PG1_SOCKET_PATH="${PGHOST:-/tmp}"
export PGBACKREST_PG1_PORT="${PGPORT:-5432}"
export PGBACKREST_REPO1_TYPE=s3 PGBACKREST_REPO1_PATH=/postgres PGBACKREST_REPO1_S3_URI_STYLE=path
export PGBACKREST_REPO1_S3_ENDPOINT="${OBJECTS_ENDPOINT%:*}" PGBACKREST_REPO1_STORAGE_PORT="${OBJECTS_ENDPOINT##*:}"
export PGBACKREST_REPO1_S3_REGION="$OBJECTS_REGION" PGBACKREST_REPO1_S3_BUCKET="$OBJECTS_BUCKET"
export PGBACKREST_REPO1_STORAGE_CA_FILE="$OBJECTS_CA_FILE"
export PGBACKREST_REPO1_S3_KEY="$OBJECTS_KEY_ID" PGBACKREST_REPO1_S3_KEY_SECRET="$OBJECTS_KEY"
export PGBACKREST_REPO1_CIPHER_TYPE=aes-256-cbc PGBACKREST_REPO1_CIPHER_PASS="$BACKUPS_ENCRYPTION_KEY"
export PGBACKREST_COMPRESS_TYPE=zst PGBACKREST_REPO1_BUNDLE=y PGBACKREST_START_FAST=y
export PGBACKREST_REPO1_RETENTION_FULL="${BACKUPS_KEEP_FULL:-9999999}"
export PGBACKREST_LOCK_PATH="${PGBACKREST_LOCK_PATH:-/tmp/pgbackrest}"
export PGBACKREST_LOG_LEVEL_FILE=off PGBACKREST_LOG_LEVEL_CONSOLE=warn

# What takes a backup reads it from the servers: from the primary, whichever it is.
number=0
for host in ${BACKUPS_SERVERS:-}; do
    number=$((number + 1))
    export "PGBACKREST_PG${number}_HOST=${host%:*}" "PGBACKREST_PG${number}_HOST_PORT=${host##*:}"
    export "PGBACKREST_PG${number}_HOST_TYPE=tls" "PGBACKREST_PG${number}_HOST_USER=postgres"
    export "PGBACKREST_PG${number}_PATH=$PGDATA" "PGBACKREST_PG${number}_SOCKET_PATH=${PGHOST:-/tmp}"
    export "PGBACKREST_PG${number}_PORT=${PGPORT:-5432}"
    export "PGBACKREST_PG${number}_HOST_CA_FILE=$BACKUPS_TLS/ca.crt"
    export "PGBACKREST_PG${number}_HOST_CERT_FILE=$BACKUPS_TLS/tls.crt"
    export "PGBACKREST_PG${number}_HOST_KEY_FILE=$BACKUPS_TLS/tls.key"
done
unset number host
