#!/bin/sh
# Runs, as the superuser, one of the files that bring logins to what the environment says. Named for what it is to do:
# `apply-logins` brings the database, its roles and their logins; `renew-passwords` those of the servers' own roles, before
# they start with them; `retire-logins` ends those that are not named. Each can be killed at any point and run again.
set -eu
: "${POSTGRES_HOST:?is not set}" "${POSTGRES_DATABASE:?is not set}" "${POSTGRES_LOGINS:?is not set}"
export PGHOST="$POSTGRES_HOST" PGPORT="${POSTGRES_PORT:-5432}" PGUSER="${POSTGRES_USERNAME:-postgres}" PGDATABASE=postgres
export PGPASSWORD="${POSTGRES_PASSWORD:?is not set}" PGCONNECT_TIMEOUT=3
export PGSSLMODE=verify-full PGSSLROOTCERT="${POSTGRES_CA_FILE:?is not set}"

# Where there was never a server there is nothing to renew; a name service that does not answer says nothing about that.
if [ -n "${POSTGRES_SERVERS:-}" ]; then
    until python -c 'import socket, sys; socket.getaddrinfo(sys.argv[1], None)' "$POSTGRES_SERVERS" 2>/tmp/lookup; do
        ! grep --quiet --fixed-strings 'Name or service not known' /tmp/lookup || { echo "there are no servers yet"; exit 0; }
        sleep 0.5
    done
fi

# A new pod's packets are refused until the node's firewall has heard of the pod.
waited=0
until pg_isready --quiet --timeout=2; do
    waited=$((waited + 1))
    [ "$waited" -lt 120 ] || { echo "$POSTGRES_HOST: no server that takes connections after $waited attempts" >&2; exit 1; }
    sleep 0.5
done

file=/etc/postgresql/${0##*/}.sql
[ "$file" != /etc/postgresql/apply-logins.sql ] || file=/etc/postgresql/logins.sql
# The superuser's own password is among those that are renewed: before that, the previous one is what lets us in.
if [ -n "${POSTGRES_PREVIOUS_PASSWORD:-}" ] && ! psql --quiet --no-psqlrc --command='' 2>/dev/null; then
    PGPASSWORD=$POSTGRES_PREVIOUS_PASSWORD
fi
exec psql --quiet --no-psqlrc --file="$file"
