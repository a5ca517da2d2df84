#!/bin/sh
# Lets backups read this server's files, over TLS on both sides; reads its certificate again when that was renewed.
set -eu
tls=/etc/tls
export PGBACKREST_TLS_SERVER_ADDRESS='*' PGBACKREST_TLS_SERVER_CA_FILE=$tls/ca.crt
export PGBACKREST_TLS_SERVER_CERT_FILE=$tls/tls.crt PGBACKREST_TLS_SERVER_KEY_FILE=$tls/tls.key
export PGBACKREST_LOCK_PATH=/tmp/pgbackrest PGBACKREST_LOG_LEVEL_FILE=off PGBACKREST_LOG_LEVEL_CONSOLE=warn
: "${PGBACKREST_TLS_SERVER_AUTH:?is not set: name the client}"
watch-certificate kill -HUP $$ &
exec pgbackrest server
