"""The end of a rotation: the old passwords stop working."""

from collections.abc import Mapping, Sequence

import pulumi

from components.jobs import Task
from components.namespaces import Namespace


class Rotation(pulumi.ComponentResource):
    """Ends the old passwords of the tiers that were given new ones, once every client has its new one."""

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        retirements: Sequence[Task | None],
        *,
        namespace: Namespace,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Rotation", name, None, opts or namespace.within)
        self.connections = [row for task in retirements if task for row in task.run(self, after)]
        self.register_outputs({})
