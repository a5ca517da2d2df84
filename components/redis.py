"""The job queue."""

import hashlib

import pulumi
from pulumi_kubernetes import core

from components.connections import Endpoint
from components.defaults import exec_health
from components.namespaces import Namespace
from components.passwords import password
from components.pods import PodArgs
from components.quantities import bytes_of
from components.settings import RedisSettings
from components.stateful import Stateful

_PORT = 6379
_USER = 999  # the uid of the upstream image, and so of existing volumes
_CLIENT = "application"

# Every write is on disk before it is acknowledged, and a full queue says so: an evicted job would be a lost job.
_CONFIGURATION = """\
dir /data
appendonly yes
appendfsync always
maxmemory-policy noeviction
aclfile /etc/redis/users.acl
protected-mode no
"""

# `probe` can do nothing but PING, so the readiness probe needs no password in its command line.
_ACCESS = """\
user default off
user probe on nopass resetkeys resetchannels -@all +ping
user {client} on #{digest} ~jobs:* resetchannels -@all {commands}
"""
_COMMANDS = "+ping +xadd +xreadgroup +xack +xdel +xautoclaim +xgroup +xinfo +xrange +xlen"  # streams, nothing else


class Redis(pulumi.ComponentResource):
    """Redis as a queue: append-only, fsync before acknowledgement, nothing evicted.

    The one client account works on streams under `jobs:`, and knows no other command.
    """

    endpoint: Endpoint

    def __init__(
        self, name: str, args: RedisSettings, *, namespace: Namespace, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("platform:index:Redis", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        identity = namespace.identity(name, "queue")
        secret = password(name, child)
        access = secret.apply(lambda value: hashlib.sha256(value.encode()).hexdigest()).apply(
            lambda digest: _ACCESS.format(client=_CLIENT, digest=digest, commands=_COMMANDS)
        )
        users = core.v1.Secret(
            f"{name}-users",
            metadata=identity.unnamed_metadata(),
            string_data={"users.acl": access, "redis.conf": _CONFIGURATION},
            immutable=True,
            opts=child,
        )
        configuration = core.v1.VolumeArgs(
            name="configuration",
            secret=core.v1.SecretVolumeSourceArgs(
                secret_name=users.metadata.name,
                default_mode=0o440,
                items=[core.v1.KeyToPathArgs(key=file, path=file) for file in ("redis.conf", "users.acl")],
            ),
        )
        server = Stateful(
            identity,
            PodArgs(
                image=args.image,
                port=_PORT,
                port_name="redis",
                cpu=args.cpu,
                memory=args.memory,
                user=_USER,
                # The rest of the container's memory is for the copy-on-write pages of an append-only file rewrite.
                args=["/etc/redis/redis.conf", "--maxmemory", str(bytes_of(args.memory) * 3 // 4)],
                files={"/etc/redis": configuration},
                health=exec_health(
                    _PORT, ["sh", "-c", 'test "$(redis-cli --no-auth-warning --user probe --pass probe ping)" = PONG']
                ),
            ),
            args.volume,
            opts=child,
        )
        self.endpoint = Endpoint(
            of=identity,
            port=_PORT,
            env={"REDIS_HOST": server.endpoint.host, "REDIS_PORT": str(_PORT), "REDIS_USERNAME": _CLIENT},
            secrets={"REDIS_PASSWORD": secret},
        )
        self.register_outputs({"host": server.endpoint.host, "port": _PORT})
