#!/bin/sh
# Lets backups read this server's files, over TLS on both sides; reads its certificate again when that was renewed.
set -eu
tls=/etc/tls
export PGBACKREST_TLS_SERVER_ADDRESS='*' PGBACKREST_TLS_SERVER_CA_FILE=$tls/ca.crt
export PGBACKREST_TLS_SERVER_CERT_FILE=$tls/tls.crt PGBACKREST_TLS_SERVER_KEY_FILE=$tls/tls.key
export PGBACKREST_LOCK_PATH=/tmp/pgbackrest PGBACKREST_LOG_LEVEL_FILE=off PGBACKREST_LOG_LEVEL_CONSOLE=warn
: "${PGBACKREST_TLS_SERVER_AUTH:?is not set: name the client}"

# Ends only when it is told to, whatever becomes of pgBackRest: a container that ends makes its pod unready, and the database that
# is in it would be out of service because backups are.
server=
# It may have ended just now; that is no reason to end, nor to say that something went wrong.
trap '[ -z "$server" ] || kill -HUP "$server" || :' HUP
trap '[ -z "$server" ] || kill "$server" || :; exit 0' TERM INT
watch-certificate kill -HUP $$ &
while :; do
    pgbackrest server &
    server=$!
    # A signal ends the waiting too.
    while kill -0 "$server" 2>/dev/null; do wait "$server" || :; done
    echo "pgbackrest server has ended; it is started again" >&2
    sleep 1
done
