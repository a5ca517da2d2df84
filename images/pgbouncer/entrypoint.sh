#!/bin/sh
# Runs PgBouncer; beside it runs what has it read its certificate again when that was renewed. Its connections stay.
set -eu
certificate=/etc/tls/tls.crt

watch() {
    read_as=$(cksum <"$certificate")
    while sleep 30; do
        found=$(cksum <"$certificate") || continue
        [ "$found" = "$read_as" ] || { kill -HUP 1 && read_as=$found; }
    done
}

if [ "${1:-}" = pgbouncer ] && [ -e "$certificate" ]; then
    watch &
fi
exec "$@"
