"""The scheduler."""

from collections.abc import Mapping, Sequence

import pulumi

from components.connections import Peer
from components.namespaces import Namespace
from components.pods import http_pod
from components.tier_settings import SchedulerSettings
from components.workload import Workload


class Scheduler(pulumi.ComponentResource):
    """Does what is due: periodic jobs, and jobs that got stuck. One of its pods is active at a time."""

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: SchedulerSettings,
        *,
        namespace: Namespace,
        talks_to: Sequence[Peer],
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Scheduler", name, None, opts or namespace.within)
        scheduler = Workload(
            namespace.identity(name, "scheduler"),
            http_pod(args),
            args.scale,
            talks_to=talks_to,
            after=after,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.connections = scheduler.connections
        self.register_outputs({})
