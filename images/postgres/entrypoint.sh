#!/bin/sh
# Serves PostgreSQL from $PGDATA, which it creates if it is not there; the roles and passwords are those of the environment.
# Arguments that begin with `-` go to the server; any other command is run as it is. It can be killed at any point.
set -eu

readonly configuration=/etc/postgresql/postgresql.conf
readonly private=/tmp/private

# The server under its final name is complete: initdb works beside it, has synced its files, and the rename is one step.
create() {
    rm -rf "$PGDATA.partial"
    initdb --pgdata="$PGDATA.partial" --username=postgres --data-checksums --encoding=UTF8 --locale=C.UTF-8 \
        --auth-local=peer --auth-host=reject
    mv "$PGDATA.partial" "$PGDATA"
    sync "$(dirname "$PGDATA")"
}

# Nobody can connect to a server with last week's passwords: this one listens on a socket that nobody else looks for.
apply_roles() {
    rm -rf "$private"
    mkdir -m 0700 "$private"
    trap 'pg_ctl stop --silent --mode=fast || true; exit 143' INT TERM
    pg_ctl start --silent --wait --timeout=86400 \
        --options="-c config_file=$configuration -c listen_addresses='' -c unix_socket_directories=$private"
    PGHOST="$private" psql --quiet --no-psqlrc --username=postgres --dbname=postgres --file=/etc/postgresql/roles.sql
    pg_ctl stop --silent --wait --timeout=86400 --mode=fast
    trap - INT TERM
}

case "${1:-}" in
    "" | -*) set -- postgres "$@" ;;
esac
if [ "$1" = postgres ]; then
    shift
    : "${POSTGRES_DATABASE:?is not set: name the database}"
    : "${POSTGRES_SUPERUSER_PASSWORD:?is not set}" "${POSTGRES_MIGRATION_PASSWORD:?is not set}"
    : "${POSTGRES_APPLICATION_PASSWORD:?is not set}"
    [ -d "$PGDATA" ] || create
    # A volume's fsGroup may have opened the directory to its group; the server would refuse it.
    chmod 0700 "$PGDATA"
    apply_roles
    unset POSTGRES_SUPERUSER_PASSWORD POSTGRES_MIGRATION_PASSWORD POSTGRES_APPLICATION_PASSWORD
    set -- postgres -c config_file="$configuration" "$@"
fi
exec "$@"
