"""New passwords for the queue while it serves: its servers take both, then the clients change, then the old ones end."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi

from components.certificates import CA_FILE
from components.connections import Endpoint
from components.jobs import Task
from components.labels import Identity
from components.pods import PodArgs

_SCRIPT = """\
set -eu
ask() { redis-cli --tls --cacert "$REDIS_CA_FILE" --user operator -h "$host" -p "$REDIS_PORT"; }

for host in $REDIS_SERVERS; do
    attempts=0
    export REDISCLI_AUTH="$REDIS_PASSWORD"
    # A new pod's packets are refused until the node's firewall has heard of the pod.
    until [ "$(echo PING | ask 2>/dev/null)" = PONG ]; do
        attempts=$((attempts + 1))
        [ "$attempts" -lt 240 ] || { echo "$host: takes neither the new nor the previous password" >&2; exit 1; }
        if [ "$REDISCLI_AUTH" = "$REDIS_PASSWORD" ]; then REDISCLI_AUTH=$REDIS_PREVIOUS_PASSWORD
        else REDISCLI_AUTH=$REDIS_PASSWORD; sleep 0.5; fi
    done
    # Commands come from standard input: what is on a command line can be read by others.
    answers=$(printf '%s\n' "$REDIS_COMMANDS" | ask)
    if printf '%s\n' "$answers" | grep --line-regexp --invert-match OK; then
        echo "$host: refused" >&2
        exit 1
    fi
    echo "$host: done"
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """The servers, the accounts' new passwords, and the operator's before."""

    servers: Endpoint
    hosts: Sequence[str]
    passwords: Mapping[str, pulumi.Output[str]]
    previous: pulumi.Output[str]

    def admission(self, identity: Identity, server: PodArgs) -> Task:
        """Return what has the servers take the new passwords beside the old ones."""
        return self._task(identity, server, pulumi.Output.all(**self.passwords).apply(_admitting))

    def retirement(self, identity: Identity, server: PodArgs) -> Task:
        """Return what has the servers take the new passwords only; who came in with an old one stays connected."""
        return self._task(identity, server, pulumi.Output.all(**self.passwords).apply(_retiring))

    def _task(self, identity: Identity, server: PodArgs, commands: pulumi.Output[str]) -> Task:
        there = replace(
            self.servers,
            env={
                "REDIS_SERVERS": " ".join(self.hosts),
                "REDIS_PORT": str(self.servers.port),
                "REDIS_CA_FILE": CA_FILE,
            },
            secrets={"REDIS_PASSWORD": self.passwords["operator"], "REDIS_PREVIOUS_PASSWORD": self.previous},
            tls=True,
        )
        return Task(
            identity=identity,
            pod=server.once(["sh", "-c", _SCRIPT]),
            talks_to=[there],
            secrets={"REDIS_COMMANDS": commands},
        )


def digest(password: str) -> str:
    """Return what Redis keeps of a password."""
    return hashlib.sha256(password.encode()).hexdigest()


def _admitting(passwords: Mapping[str, str]) -> str:
    return "\n".join(f"ACL SETUSER {user} #{digest(value)}" for user, value in passwords.items())


def _retiring(passwords: Mapping[str, str]) -> str:
    # First a replica's own, for when it has to connect anew; then what the servers take.
    lines = [f"CONFIG SET masterauth {passwords['replica']}"]
    lines += [f"ACL SETUSER {user} resetpass #{digest(value)}" for user, value in passwords.items()]
    return "\n".join(lines)
