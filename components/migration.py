"""The schema, brought to the version the API's image carries."""

from collections.abc import Mapping, Sequence

import pulumi

from components.connections import Peer, connect
from components.jobs import job
from components.namespaces import Namespace
from components.pods import PodArgs
from components.tier_settings import ApiSettings


class Migration(pulumi.ComponentResource):
    """A Job that migrates the schema and must succeed before any new version of a workload starts.

    It runs once for each image, for at most ten minutes; until it succeeds the old version keeps serving. One that fails at
    once has failed for good after its fourth attempt, within two minutes: most often it is wrong, and somebody waits.
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
        super().__init__("platform:index:Migration", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        # A name of its own: a pod with a workload's selector labels would count for its Service, budget and autoscaler.
        identity = namespace.identity(name, "migration")
        connected = connect(identity, talks_to, child)
        pod = PodArgs(
            image=args.image,
            cpu=args.cpu,
            memory=args.memory,
            health=None,
            args=["alembic", "upgrade", "head"],
            env=connected.env,
            files=connected.files,
        )
        made = job(self, identity, pod, after, retries=3)
        self.connections = connected.rows
        self.register_outputs({"job": made.metadata.name})
