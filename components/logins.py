"""The database's logins, brought to what the program says, while it serves."""

import json
from collections.abc import Mapping, Sequence

import pulumi

from components.connections import Peer
from components.jobs import Task
from components.labels import Identity
from components.pods import PodArgs

ROLES = ("migration", "application", "reader", "monitoring", "pooler", "backups")
"""What a login is for: own the schema, change rows, read rows, read statistics, check the logins of others, note backups and
restores."""


class Logins(pulumi.ComponentResource):
    """A Job that brings logins to these passwords, creating them and the database if need be; again it changes nothing."""

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        identity: Identity,
        server: PodArgs,
        passwords: Mapping[str, pulumi.Output[str]],
        *,
        talks_to: Sequence[Peer],
        command: str = "apply-logins",
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Logins", identity.name, None, opts)
        self.connections = task(identity, server, command, passwords, talks_to).run(self, after)
        self.register_outputs({})


def task(
    identity: Identity,
    server: PodArgs,
    command: str,
    passwords: Mapping[str, pulumi.Output[str]],
    talks_to: Sequence[Peer],
) -> Task:
    """Return a command of the server's image that is told the logins: by name, with their passwords."""
    return Task(
        identity=identity,
        pod=server.once([command]),
        talks_to=talks_to,
        secrets={"POSTGRES_LOGINS": pulumi.Output.all(**passwords).apply(json.dumps)},
    )
