"""The database's logins, brought to what the program says, while it serves."""

import json
from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import batch

from components.connections import Peer, connect, secret_env
from components.labels import Identity
from components.pods import PodArgs, pod_template, service_account

ROLES = ("migration", "application", "reader", "monitoring")
"""What may be done, each a role that cannot log in: own the schema, change rows, read rows, read statistics."""


class Logins(pulumi.ComponentResource):
    """A Job that creates the database, its roles and one login for each, with the passwords given; again changes nothing."""

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
        batch.v1.Job(
            name,
            metadata=identity.unnamed_metadata(),
            spec=batch.v1.JobSpecArgs(
                backoff_limit=6,
                active_deadline_seconds=600,
                template=pod_template(
                    identity,
                    PodArgs(
                        image=args.image,
                        cpu=args.cpu,
                        memory=args.memory,
                        user=args.user,
                        health=None,
                        args=["apply-logins"],
                        env=[*connected.env, *env],
                    ),
                    service_account(identity, child),
                    restart_policy="Never",
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        self.connections = connected.rows
        self.register_outputs({})
