"""The end of a rotation: the old passwords stop working."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import pulumi

from components.jobs import Task
from components.namespaces import Namespace


class Rotated(Protocol):
    """A tier with a task that ends its old passwords, if there are any."""

    retirement: Task | None


class Rotation(pulumi.ComponentResource):
    """Ends the old passwords of the tiers that were given new ones, once every client has its new one."""

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        *,
        of: Sequence[Rotated],
        namespace: Namespace,
        after: Sequence[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Rotation", name, None, opts or namespace.within)
        self.connections = [row for tier in of if tier.retirement for row in tier.retirement.run(self, after)]
        self.register_outputs({})
