#!/bin/sh
# Runs PgBouncer; beside it runs what has it read its certificate again when that was renewed. Its connections stay.
set -eu
if [ "${1:-}" = pgbouncer ] && [ -e /etc/tls/tls.crt ]; then
    watch-certificate kill -HUP $$ &
fi
exec "$@"
