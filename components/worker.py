"""The background workers."""

from collections.abc import Mapping, Sequence

import pulumi

from components import sites as scraped
from components.connections import INTERNET, Peer
from components.namespaces import Namespace
from components.pods import http_pod
from components.tier_settings import Site, WorkerSettings, WorkersSettings
from components.workload import Workload


class Workers(pulumi.ComponentResource):
    """Three kinds of worker from one image: scraping fetches, processing extracts, analytics adds up.

    Only scraping reaches the Internet, and the `sites` inside the cluster that are named.
    """

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: WorkersSettings,
        *,
        namespace: Namespace,
        talks_to: Sequence[Peer],
        cache: Peer,
        sites: Sequence[Site] = (),
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Workers", name, None, opts or namespace.within)
        kinds: dict[str, tuple[WorkerSettings, list[Peer]]] = {
            "scraping": (args.scraping, [INTERNET, *scraped.endpoints(sites)]),
            "processing": (args.processing, []),
            "analytics": (args.analytics, [cache]),
        }
        self.connections = []
        for kind, (settings, peers) in kinds.items():
            worker = Workload(
                namespace.identity(f"{name}-{kind}", "worker"),
                http_pod(settings, args=[kind], env=[scraped.allowed_hosts(sites)]),
                settings.scale,
                talks_to=[*talks_to, *peers],
                after=after,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self.connections = [*self.connections, *worker.connections]
        self.register_outputs({"kinds": list(kinds)})
