#!/bin/sh
# pgBackRest for people and runbooks, as the server itself calls it: `backups info`.
set -eu
. backup-environment
exec pgbackrest "$@"
