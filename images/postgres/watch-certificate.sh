#!/bin/sh
# Lets PostgreSQL read its certificate again whenever that was renewed; its connections stay. Runs beside the server for ever.
set -eu
certificate=/etc/tls/tls.crt

read_as=$(cksum <"$certificate")
while sleep 10; do
    found=$(cksum <"$certificate") || continue
    [ "$found" != "$read_as" ] || continue
    # A server that is down reads it when it starts.
    if psql --quiet --no-psqlrc --username=postgres --dbname=postgres --command='SELECT pg_reload_conf()' >/dev/null; then
        read_as=$found
        echo "the renewed certificate is in use"
    fi
done
