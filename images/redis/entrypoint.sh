#!/bin/sh
# Like upstream's: options or a configuration file alone mean redis-server; anything else is run as it is.
set -eu
case "${1:-}" in
    "" | -* | *.conf) set -- redis-server "$@" ;;
esac
exec "$@"
