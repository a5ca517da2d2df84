"""The cache."""

import pulumi

from components.certificates import CA_FILE, TLS, certificate, on_renewal
from components.connections import Endpoint
from components.defaults import tcp_health
from components.namespaces import Namespace
from components.pods import PodArgs
from components.quantities import bytes_of
from components.tier_settings import MemcachedSettings
from components.workload import Workload

_PORT = 11211
_USER = 11211  # the uid of the upstream image

# With a renewed certificate it starts anew, empty: its own way to read one again takes a client that speaks TLS.
_START = on_renewal('kill "$server"') + 'exec memcached "$@"\n'


class Memcached(pulumi.ComponentResource):
    """Memcached: fast, bounded, and allowed to forget."""

    endpoint: Endpoint

    def __init__(
        self,
        name: str,
        args: MemcachedSettings,
        *,
        namespace: Namespace,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Memcached", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        identity = namespace.identity(name, "cache")
        # Items get two thirds; connections, hash table and slab slack the rest.
        megabytes = bytes_of(args.memory) * 2 // 3 >> 20
        options = [f"--memory-limit={megabytes}", "--conn-limit=1024", "--disable-flush-all"]
        options += ["--enable-ssl", f"--extended=ssl_chain_cert={TLS}/tls.crt,ssl_key={TLS}/tls.key"]
        server = Workload(
            identity,
            PodArgs(
                image=args.image,
                ports={"memcached": _PORT},
                cpu=args.cpu,
                memory=args.memory,
                user=_USER,
                args=["sh", "-c", _START, "memcached", *options],
                files={TLS: certificate(identity, [identity.host(name)], child)},
                health=tcp_health(_PORT),
            ),
            args.scale,
            opts=child,
        )
        self.endpoint = Endpoint(
            of=server.endpoint.of,
            ports=[_PORT],
            env={
                "MEMCACHED_HOST": server.endpoint.host,
                "MEMCACHED_PORT": str(_PORT),
                "MEMCACHED_CA_FILE": CA_FILE,
            },
            tls=True,
        )
        self.register_outputs({"host": server.endpoint.host, "port": _PORT})
