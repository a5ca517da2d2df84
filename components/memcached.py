"""The cache."""

import pulumi

from components.connections import Endpoint
from components.defaults import tcp_health
from components.namespaces import Namespace
from components.pods import PodArgs
from components.quantities import bytes_of
from components.settings import MemcachedSettings
from components.workload import Workload

_PORT = 11211
_USER = 11211  # the uid of the upstream image


class Memcached(pulumi.ComponentResource):
    """Memcached: fast, bounded, and allowed to forget."""

    endpoint: Endpoint

    def __init__(
        self, name: str, args: MemcachedSettings, *, namespace: Namespace, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("platform:index:Memcached", name, None, opts)
        # Items get two thirds; connections, hash table and slab slack the rest.
        megabytes = bytes_of(args.memory) * 2 // 3 >> 20
        server = Workload(
            namespace.identity(name, "cache"),
            PodArgs(
                image=args.image,
                ports={"memcached": _PORT},
                cpu=args.cpu,
                memory=args.memory,
                user=_USER,
                args=[f"--memory-limit={megabytes}", "--conn-limit=1024", "--disable-flush-all"],
                health=tcp_health(_PORT),
            ),
            args.scale,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.endpoint = Endpoint(
            of=server.endpoint.of,
            ports=[_PORT],
            env={"MEMCACHED_HOST": server.endpoint.host, "MEMCACHED_PORT": str(_PORT)},
        )
        self.register_outputs({"host": server.endpoint.host, "port": _PORT})
