"""The HTTP API."""

from collections.abc import Mapping, Sequence

import pulumi

from components import sites as scraped
from components.connections import Endpoint, Peer
from components.namespaces import Namespace
from components.pods import http_pod
from components.tier_settings import ApiSettings, Site
from components.workload import Workload


class Api(pulumi.ComponentResource):
    """Takes jobs and answers for them."""

    endpoint: Endpoint
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: ApiSettings,
        *,
        namespace: Namespace,
        talks_to: Sequence[Peer],
        sites: Sequence[Site] = (),
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Api", name, None, opts or namespace.within)
        server = Workload(
            namespace.identity(name, "api"),
            http_pod(args, env=[scraped.allowed_hosts(sites)]),
            args.scale,
            talks_to=talks_to,
            after=after,
            opts=pulumi.ResourceOptions(parent=self),
        )
        url = f"http://{server.endpoint.host}:{server.endpoint.port}"
        self.endpoint = Endpoint(of=server.endpoint.of, ports=server.endpoint.ports, env={"API_URL": url})
        self.connections = server.connections
        self.register_outputs({"url": url})
