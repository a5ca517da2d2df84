#!/bin/sh
# Runs Patroni, which runs PostgreSQL in /data/pgdata; any other command is run as it is.
set -eu

if [ "${1:-patroni}" = patroni ]; then
    : "${PATRONI_SCOPE:?is not set: name the cluster}" "${PATRONI_NAME:?is not set: name this server}"
    : "${PATRONI_SUPERUSER_PASSWORD:?is not set}" "${PATRONI_REPLICATION_PASSWORD:?is not set}"
    : "${PATRONI_REWIND_PASSWORD:?is not set}" "${PATRONI_RESTAPI_PASSWORD:?is not set}"
    # A volume's fsGroup may have opened the directory to its group; the server would refuse it.
    [ ! -d "$PGDATA" ] || chmod 0700 "$PGDATA"
    watch-certificate &
    set -- patroni /etc/patroni/patroni.yml
fi
exec "$@"
