"""The web servers."""

from collections.abc import Mapping, Sequence

import pulumi

from components.connections import Endpoint, Peer, allow_from_outside
from components.namespaces import Namespace
from components.pods import http_pod
from components.tier_settings import FrontendSettings
from components.workload import Workload


class Frontend(pulumi.ComponentResource):
    """Serves the page and passes the API's calls on. With `node_port` it is open to the outside on every node."""

    endpoint: Endpoint
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: FrontendSettings,
        *,
        namespace: Namespace,
        talks_to: Sequence[Peer],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Frontend", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        server = Workload(
            namespace.identity(name, "frontend"),
            http_pod(args),
            args.scale,
            talks_to=talks_to,
            node_port=args.node_port,
            opts=child,
        )
        self.endpoint = server.endpoint
        self.connections = server.connections
        if args.node_port:
            self.connections = [allow_from_outside(server.endpoint, child), *self.connections]
        self.register_outputs({"host": server.endpoint.host})
