#!/bin/sh
# Runs a command, which has the server read its certificate again, whenever that was renewed, and anew until it succeeds. Started
# by the shell that becomes the server, it ends with it. The same for images of others: `on_renewal` in components/certificates.py.
set -eu
certificate=/etc/tls/tls.crt

read_as=$(cksum <"$certificate")
while sleep 30 && kill -0 "$PPID" 2>/dev/null; do
    found=$(cksum <"$certificate") || continue
    [ "$found" != "$read_as" ] || continue
    if "$@"; then
        read_as=$found
        echo "the renewed certificate is in use"
    fi
done
