"""The job queue."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import core

from components.certificates import CA_FILE, TLS, certificate, on_renewal
from components.connections import Endpoint, connect
from components.defaults import exec_health
from components.jobs import Task
from components.labels import Identity
from components.namespaces import Namespace
from components.passwords import password
from components.pods import PodArgs
from components.quantities import bytes_of
from components.recovery import keeps
from components.redis_rotation import Rotated, digest
from components.stateful import Stateful, service
from components.storage import QUEUE
from components.tier_settings import RedisSettings

_PORT = 6379
_USER = 999  # the uid of the upstream image, and so of existing volumes

# Every write is on disk before it is acknowledged, and a full queue says so: an evicted job would be a lost job.
_OPTIONS = (
    f"--port 0 --tls-port {_PORT} --tls-auth-clients no --tls-replication yes"
    f" --tls-cert-file {TLS}/tls.crt --tls-key-file {TLS}/tls.key --tls-ca-cert-file {TLS}/ca.crt"
    " --dir /data --appendonly yes --appendfsync always --maxmemory-policy noeviction --protected-mode no"
)

# What a rotation changes while the server runs; the file is for its next start.
_CONFIGURATION = """\
aclfile /etc/redis/users.acl
masteruser replica
masterauth {replica}
"""

# `probe` can do nothing but PING, so a probe needs no password. redis-cli sends the name with one only: any is taken.
_COMMON_USERS = """\
user default off
user probe on nopass resetkeys resetchannels -@all +ping
"""
_JOBS = "~jobs:* resetchannels -@all +ping"
_RIGHTS = {
    "producer": f"{_JOBS} +xadd",
    "consumer": f"{_JOBS} +xadd +xreadgroup +xautoclaim +xgroup|create +xack +xdel",
    "keeper": f"{_JOBS} +xadd +xrange +xlen +xinfo +xgroup|delconsumer",
    "replica": "resetkeys resetchannels -@all +psync +replconf +ping",
    "backups": "resetkeys resetchannels -@all +sync +replconf +ping",
    "restorer": f"{_JOBS} +restore",
    "operator": "~* &* +@all",
}
"""What each account may do: streams under `jobs:`, and of those what its part of the work needs. `backups` gets a copy of all, as a
replica does, and `restorer` puts streams back. `operator` is for runbooks."""

_CLI = f"redis-cli --tls --cacert {TLS}/ca.crt --no-auth-warning"

# Set anew, the same names of the certificate's files are read anew.
_READ_AGAIN = (
    f"REDISCLI_AUTH=$(cat /etc/redis/operator) {_CLI} --user operator config set"
    f" tls-cert-file {TLS}/tls.crt tls-key-file {TLS}/tls.key tls-ca-cert-file {TLS}/ca.crt"
)

# Which pod leads is a setting; a pod that follows takes everything from the one that leads, and refuses writes.
_START = """\
set -- redis-server /etc/redis/redis.conf {options} --maxmemory {maxmemory}
case "$HOSTNAME" in
    {leader}) exec "$@" ;;
    *) exec "$@" --replicaof {leader}.{headless} {port} ;;
esac
"""


class Redis(pulumi.ComponentResource):
    """Redis as a queue: append-only, fsync before acknowledgement, nothing evicted, and a replica to promote.

    `producer` is for who adds jobs, `consumer` for who works on them, `keeper` for who looks after those that got stuck.
    `backups` is the replica, for who copies all of it; `restorer` is for who puts it back.
    """

    identity: Identity
    producer: Endpoint
    consumer: Endpoint
    keeper: Endpoint
    backups: Endpoint
    restorer: Endpoint
    retirement: Task | None
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: RedisSettings,
        *,
        namespace: Namespace,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Redis", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        self.identity = identity = namespace.identity(name, "queue")
        leader = f"{name}-{args.primary}"
        members = Endpoint(of=identity, ports=[_PORT], service=f"{name}-instances")
        self.connections = connect(identity, [members], child).rows
        passwords = {user: password(f"{name}-{user}", args.rotation, child) for user in _RIGHTS}
        start = on_renewal(_READ_AGAIN) + _START.format(
            leader=leader,
            headless=members.host,
            port=_PORT,
            options=_OPTIONS,
            # The rest of the container's memory is for the copy-on-write pages of an append-only file rewrite.
            maxmemory=bytes_of(args.memory) * 3 // 4,
        )
        pod = PodArgs(
            image=args.image,
            ports={"redis": _PORT},
            cpu=args.cpu,
            memory=args.memory,
            user=_USER,
            args=["sh", "-c", start],
            files={
                "/etc/redis": _configuration(identity, passwords, child),
                TLS: certificate(identity, [identity.host(name), f"*.{members.host}"], child),
            },
            health=exec_health(["sh", "-c", f'test "$(REDISCLI_AUTH=any {_CLI} --user probe ping)" = PONG']),
        )
        kept = keeps(args.backups.recovery_point)
        servers = Stateful(identity, pod, args.volume, purpose=QUEUE, instances=2, annotations=kept, opts=child)
        self.retirement = None
        if args.rotation > 1:
            previous = password(f"{name}-operator", args.rotation - 1, child)
            hosts = [f"{name}-{ordinal}.{members.host}" for ordinal in range(2)]
            rotated = Rotated(servers=members, hosts=hosts, passwords=passwords, previous=previous)
            admitting = namespace.identity(f"{name}-admission", "queue")
            self.connections = [*self.connections, *rotated.admission(admitting, pod).run(self, [servers])]
            self.retirement = rotated.retirement(namespace.identity(f"{name}-retirement", "queue"), pod)
        host = service(name, identity, {"redis": _PORT}, child, labels={"statefulset.kubernetes.io/pod-name": leader})

        def endpoint(user: str, server: str = host, service: str | None = None) -> Endpoint:
            return Endpoint(
                of=identity,
                ports=[_PORT],
                service=service,
                env={
                    "REDIS_HOST": server,
                    "REDIS_PORT": str(_PORT),
                    "REDIS_USERNAME": user,
                    "REDIS_CA_FILE": CA_FILE,
                },
                secrets={"REDIS_PASSWORD": passwords[user]},
                tls=True,
            )

        self.producer, self.consumer, self.keeper = endpoint("producer"), endpoint("consumer"), endpoint("keeper")
        self.restorer = endpoint("restorer")
        # A copy is made by a child of the server, which costs memory and time: not those of the one that clients wait for.
        follower = f"{name}-{1 - args.primary}.{members.host}"
        self.backups = endpoint("backups", follower, members.service)
        self.register_outputs({"host": host, "port": _PORT})


def _configuration(
    identity: Identity, passwords: Mapping[str, pulumi.Output[str]], opts: pulumi.ResourceOptions
) -> core.v1.VolumeArgs:
    """Return the volume of the server's files: the accounts by the hashes of their passwords, and what its own pod needs."""
    # With one name for all rotations, new passwords do not restart the servers: they are told of them while they run. Other
    # accounts, or other rights, have another name, and do.
    users = core.v1.Secret(
        f"{identity.name}-users",
        metadata=identity.metadata(f"{identity.name}-users-{digest(_accounts(dict.fromkeys(_RIGHTS, '')))[:8]}"),
        string_data={
            "users.acl": pulumi.Output.all(**passwords).apply(_accounts),
            "redis.conf": passwords["replica"].apply(lambda replica: _CONFIGURATION.format(replica=replica)),
            "operator": passwords["operator"],
        },
        opts=opts,
    )
    return core.v1.VolumeArgs(
        name="configuration",
        secret=core.v1.SecretVolumeSourceArgs(
            secret_name=users.metadata.name,
            default_mode=0o440,
            items=[core.v1.KeyToPathArgs(key=file, path=file) for file in ("redis.conf", "users.acl", "operator")],
        ),
    )


def _accounts(passwords: Mapping[str, str]) -> str:
    lines = [f"user {user} on #{digest(passwords[user])} {rights}\n" for user, rights in _RIGHTS.items()]
    return _COMMON_USERS + "".join(lines)
