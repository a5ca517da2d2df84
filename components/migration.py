"""The schema, brought to the version the API's image carries."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import batch

from components.connections import Peer, connect
from components.namespaces import Namespace
from components.pods import PodArgs, pod_template, service_account
from components.settings import ApiSettings


class Migration(pulumi.ComponentResource):
    """A Job that migrates the schema and must succeed before any new version of a workload starts.

    It runs once for each image, for at most ten minutes; until it succeeds the old version keeps serving.
    """

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: ApiSettings,
        *,
        namespace: Namespace,
        talks_to: Sequence[Peer],
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Migration", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        # A name of its own: a pod with a workload's selector labels would count for its Service, budget and autoscaler.
        identity = namespace.identity(name, "migration")
        connected = connect(identity, talks_to, child)
        job = batch.v1.Job(
            name,
            metadata=identity.unnamed_metadata(),  # a Job cannot be changed, so a new image makes a new one
            spec=batch.v1.JobSpecArgs(
                backoff_limit=6,
                active_deadline_seconds=600,
                template=pod_template(
                    identity,
                    PodArgs(
                        image=args.image,
                        cpu=args.cpu,
                        memory=args.memory,
                        health=None,
                        args=["alembic", "upgrade", "head"],
                        env=connected.env,
                    ),
                    service_account(identity, child),
                    restart_policy="Never",
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        self.connections = connected.rows
        self.register_outputs({"job": job.metadata.name})
