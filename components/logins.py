"""The database's logins, brought to what the program says, while it serves."""

import json
from collections.abc import Mapping, Sequence

import pulumi

from components.connections import Peer, connect, secret_env
from components.jobs import job
from components.labels import Identity
from components.pods import PodArgs

ROLES = ("migration", "application", "reader", "monitoring", "pooler", "backups")
"""The logins, each for one kind of work: own the schema, change rows, read rows, read statistics, check the logins of others,
note backups and restores."""


class Logins(pulumi.ComponentResource):
    """A Job that creates the database and its logins, with the passwords given; again changes nothing."""

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        identity: Identity,
        args: PodArgs,
        passwords: Mapping[str, pulumi.Output[str]],
        *,
        talks_to: Sequence[Peer],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = identity.name
        super().__init__("platform:index:Logins", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        connected = connect(identity, talks_to, child)
        logins = pulumi.Output.all(**passwords).apply(json.dumps)
        env = secret_env(identity, name, {"POSTGRES_LOGINS": logins}, child)
        pod = PodArgs(
            image=args.image,
            cpu=args.cpu,
            memory=args.memory,
            user=args.user,
            health=None,
            args=["apply-logins"],
            env=[*connected.env, *env],
            files=connected.files,
        )
        job(self, identity, pod, after)
        self.connections = connected.rows
        self.register_outputs({})
