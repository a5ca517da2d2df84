"""The schema, brought to the version the API's image carries."""

from collections.abc import Mapping, Sequence

import pulumi

from components.connections import Peer
from components.jobs import Task
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
        # A name of its own: a pod with a workload's selector labels would count for its Service, budget and autoscaler.
        task = Task(
            identity=namespace.identity(name, "migration"),
            pod=PodArgs(
                image=args.image, cpu=args.cpu, memory=args.memory, health=None, args=["alembic", "upgrade", "head"]
            ),
            talks_to=talks_to,
            retries=3,
        )
        self.connections = task.run(self, after)
        self.register_outputs({})
