#!/bin/sh
# Writes nginx's configuration from the environment and becomes nginx. The values are checked first: they end up in its grammar.
set -eu

root=$(dirname "$(readlink -f "$0")")
temporary=${TMPDIR:-/tmp}
port=${PORT:-8080}
resolver=${RESOLVER:-$(awk '$1 == "nameserver" { print ($2 ~ /:/) ? "[" $2 "]" : $2 }' /etc/resolv.conf | tr '\n' ' ')}

refuse() {
    printf '{"level":"error","service":"frontend","message":"%s"}\n' "$1"
    exit 2
}

only() { # only PATTERN VALUE: the value is one line, and all of it is what the pattern says
    [ "$(printf '%s\n' "$2" | wc -l)" -eq 1 ] && printf '%s\n' "$2" | grep -Eqx "$1"
}

[ -n "${API_URL:-}" ] || refuse "API_URL: is not set"
only 'https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?' "$API_URL" || refuse "API_URL: is not of the form http://HOST:PORT"
only '[0-9]{1,5}' "$port" || refuse "PORT: is not a port number"
only '[][0-9A-Fa-f:. ]+' "$resolver" || refuse "RESOLVER: no name server's address there or in /etc/resolv.conf"

sed -e "s|@API_URL@|$API_URL|" -e "s|@PORT@|$port|" -e "s|@RESOLVER@|$resolver|" \
    -e "s|@ROOT@|$root|" -e "s|@TEMPORARY@|$temporary|" "$root/nginx.conf.template" > "$temporary/nginx.conf"
exec nginx -e stderr -c "$temporary/nginx.conf"
