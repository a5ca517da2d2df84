#!/bin/sh
# Like upstream's: options alone mean memcached; anything else is run as it is.
set -eu
case "${1:-}" in
    "" | -*) set -- memcached "$@" ;;
esac
exec "$@"
