#!/bin/sh
# Brings the database, its roles and their logins to what the environment says. It can be killed at any point and run again.
set -eu
: "${POSTGRES_HOST:?is not set}" "${POSTGRES_DATABASE:?is not set}" "${POSTGRES_LOGINS:?is not set}"
export PGHOST="$POSTGRES_HOST" PGPORT="${POSTGRES_PORT:-5432}" PGUSER="${POSTGRES_USERNAME:-postgres}" PGDATABASE=postgres
export PGPASSWORD="${POSTGRES_PASSWORD:?is not set}" PGCONNECT_TIMEOUT=3
export PGSSLMODE=verify-full PGSSLROOTCERT="${POSTGRES_CA_FILE:?is not set}"

# A new pod's packets are refused until the node's firewall has heard of the pod.
waited=0
until pg_isready --quiet --timeout=2; do
    waited=$((waited + 1))
    [ "$waited" -lt 120 ] || { echo "$POSTGRES_HOST: no server that takes connections after $waited attempts" >&2; exit 1; }
    sleep 0.5
done
exec psql --quiet --no-psqlrc --file=/etc/postgresql/logins.sql
