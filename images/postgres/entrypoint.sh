#!/bin/sh
# Runs Patroni, which runs PostgreSQL in /data/pgdata; any other command is run as it is.
set -eu

[ -z "${OBJECTS_ENDPOINT:-}" ] || . backup-environment

# A restore in place is asked for by a number that goes up. What was there before is kept aside, and nothing put in its place: it
# may be the only copy of what was written before an earlier restore that was not completed. `make restore` removes it at its end.
begin_restore() {
    restored="${PGDATA%/*}/restored"
    [ "${RESTORE_NUMBER:-0}" -gt "$(cat "$restored" 2>/dev/null || printf 0)" ] || return 0
    before="$PGDATA.before"
    [ ! -e "$before" ] || before="$before-$RESTORE_NUMBER"
    if [ -d "$PGDATA" ]; then
        printf 'restore %s: putting what was there aside, as %s\n' "$RESTORE_NUMBER" "$before"
        mv "$PGDATA" "$before"
    fi
    printf '%s\n' "$RESTORE_NUMBER" >"$restored.new"
    mv "$restored.new" "$restored"
}

# A server that was killed while it filled its volume has left half of it, and all others waiting.
begin_again() {
    rm -rf "$PGDATA.failed"
    bootstrapping="${PGDATA%/*}/bootstrapping"
    [ -e "$bootstrapping" ] || return 0
    if [ -d "$PGDATA" ]; then
        printf 'the first start was interrupted: beginning again\n'
        rm -rf "$PGDATA"
        python /opt/platform/give_up_bootstrap.py
    fi
    rm -f "$bootstrapping"
}

if [ "${1:-patroni}" = patroni ]; then
    : "${PATRONI_SCOPE:?is not set: name the cluster}" "${PATRONI_NAME:?is not set: name this server}"
    : "${PATRONI_SUPERUSER_PASSWORD:?is not set}" "${PATRONI_REPLICATION_PASSWORD:?is not set}"
    : "${PATRONI_REWIND_PASSWORD:?is not set}" "${PATRONI_RESTAPI_PASSWORD:?is not set}"
    : "${OBJECTS_ENDPOINT:?is not set: name where the backups are}"
    # In this order: half of a restore is nothing to put aside, least of all in place of what was there before it.
    begin_again
    begin_restore
    # A volume's fsGroup may have opened the directory to its group; the server would refuse it.
    [ ! -d "$PGDATA" ] || chmod 0700 "$PGDATA"
    # Connections stay; a server that is down reads its certificate when it starts. Patroni, which this becomes, reads that of its API
    # only when it is told to, and then its port is closed for half a second.
    watch-certificate sh -c 'kill -HUP "$1" && exec psql --quiet --no-psqlrc --username=postgres --dbname=postgres \
        --output=/dev/null --command="SELECT pg_reload_conf()"' sh $$ &
    set -- patroni /etc/patroni/patroni.yml
fi
exec "$@"
