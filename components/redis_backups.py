"""The queue's backups, and what puts one back."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
from pulumi_kubernetes import core

from components.connections import Peer, connect, secret_env
from components.jobs import cron_job
from components.labels import Identity
from components.namespaces import Namespace
from components.object_store import ObjectStore
from components.pods import PodArgs, Step, service_account
from components.quantities import bytes_of
from components.recovery import recovers
from components.redis import Redis
from components.tier_settings import RedisSettings, VolumeSettings

_PREFIX = "redis/"
_DUMP = "/data/dump.rdb"
_HOURS = 1

# The password comes from the environment: what is on a command line can be read by others.
_ASK = """\
set -eu
ask() {
    REDISCLI_AUTH=$REDIS_PASSWORD redis-cli --tls --cacert "$REDIS_CA_FILE" --user "$REDIS_USERNAME" \\
        -h "$REDIS_HOST" -p "$REDIS_PORT" "$@"
}
attempts=0
# A new pod's packets are refused until the node's firewall has heard of the pod.
until answer=$(ask ping 2>&1) && [ "$answer" = PONG ]; do
    attempts=$((attempts + 1))
    [ "$attempts" -lt 60 ] || { echo "$REDIS_HOST: instead of PONG: $answer" >&2; exit 1; }
    sleep 0.5
done
"""

_TAKE = f"""\
{_ASK}
ask --rdb {_DUMP}
# What ends early is a dump too, but not a whole one.
redis-check-rdb {_DUMP}
"""

# A server of its own reads the dump and hands over one stream after the other, each with its groups and what they have not
# acknowledged. The queue serves meanwhile; a stream is replaced at once, or not at all.
_LOAD = f"""\
{_ASK}
redis-check-rdb {_DUMP}
here() {{ redis-cli -s /data/redis.sock "$@"; }}
redis-server --port 0 --unixsocket /data/redis.sock --dir /data --dbfilename dump.rdb --save '' --appendonly no &
server=$!
trap 'kill "$server"' EXIT
until [ "$(here ping 2>/dev/null)" = PONG ]; do
    kill -0 "$server" || {{ echo "the dump cannot be loaded" >&2; exit 1; }}
    sleep 0.1
done
echo "keys in the backup: $(here dbsize)"
here --scan >/data/names
while IFS= read -r name; do
    here --raw dump "$name" | head --bytes=-1 >/data/payload
    answer=$(ask -X payload restore "$name" 0 payload replace </data/payload 2>&1) || answer=${{answer:-the server hung up}}
    [ "$answer" = OK ] || {{ echo "$name: not restored, $(wc -c </data/payload) bytes: $answer" >&2; exit 1; }}
    echo "$name: restored, entries: $(here xlen "$name")"
done </data/names
"""


class RedisBackups(pulumi.ComponentResource):
    """The queue's replica, copied, checked, encrypted and put into the object store at its times; and a Job to put it back.

    Each step knows what it needs and no more: the copy Redis, the upload the key and an account that adds, and what removes
    old backups the account that may. The restore runs only when a person makes a Job of it.
    """

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: RedisSettings,
        *,
        namespace: Namespace,
        queue: Redis,
        store: ObjectStore,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:RedisBackups", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        self.connections = []
        adder, keeper = store.account("backups"), store.account("backups-keeper")
        key = {"BACKUPS_ENCRYPTION_KEY": store.encryption_key}
        kept = {"BACKUPS_KEEP": str(args.backups.keep)}

        def in_redis(who: Identity, step: str, script: str, server: Peer, *, memory: str = args.memory) -> Step:
            env = _told(who, step, server.env, server.secrets, child)
            return Step(name=step, image=args.image, cpu="50m", memory=memory, args=["sh", "-c", script], env=env)

        def in_store(who: Identity, step: str, account: Peer, *files: str) -> Step:
            plain, secrets = (kept, {}) if step == "expire" else ({}, key)
            plain = {**account.env, "BACKUPS_PREFIX": _PREFIX, **plain}
            env = _told(who, step, plain, {**account.secrets, **secrets}, child)
            command = ["python", "/opt/buckets/encrypted.py", step, *files]
            return Step(name=step, image=store.image, cpu="50m", memory="128Mi", args=command, env=env)

        def runs(who: Identity, steps: Sequence[Step], server: Peer, schedule: str | None) -> None:
            # Only what opens the connections: each step is told about its own.
            connected = connect(who, [replace(peer, env={}, secrets={}) for peer in (server, adder)], child)
            self.connections = [*self.connections, *connected.rows]
            pod = replace(_pod(steps, 2 * bytes_of(args.memory)), files=connected.files)
            ready = pulumi.ResourceOptions(parent=self, depends_on=[store])
            cron_job(
                who.name,
                who,
                pod,
                service_account(who, child),
                schedule=schedule,
                hours=_HOURS,
                annotations=recovers(name, "backup" if schedule else "restore"),
                opts=ready,
            )

        taker = namespace.identity(f"{name}-backup", "queue")
        taking = [
            in_redis(taker, "dump", _TAKE, queue.backups),
            in_store(taker, "store", adder, _DUMP),
            in_store(taker, "expire", keeper),
        ]
        runs(taker, taking, queue.backups, args.backups.schedule)
        restorer = namespace.identity(f"{name}-restore", "queue")
        # A whole server runs beside what hands its streams over, one copy at a time.
        doubled = str(2 * bytes_of(args.memory))
        restoring = [
            in_store(restorer, "fetch", adder, _DUMP),
            in_redis(restorer, "load", _LOAD, queue.restorer, memory=doubled),
        ]
        runs(restorer, restoring, queue.restorer, None)
        self.register_outputs({})


def _told(
    who: Identity,
    step: str,
    plain: Mapping[str, str],
    secrets: Mapping[str, pulumi.Input[str]],
    opts: pulumi.ResourceOptions,
) -> list[core.v1.EnvVarArgs]:
    """Return the environment of one step, with a Secret of its own."""
    variables = [core.v1.EnvVarArgs(name=name, value=value) for name, value in sorted(plain.items())]
    return variables + secret_env(who, f"{who.name}-{step}", secrets, opts)


def _pod(steps: Sequence[Step], scratch: int) -> PodArgs:
    """Return the pod that takes the steps one after the other, with a volume for the dump and what is made of it."""
    *before, last = steps
    return PodArgs(
        image=last.image,
        cpu=last.cpu,
        memory=last.memory,
        args=last.args,
        env=last.env,
        health=None,
        before=before,
        scratch=VolumeSettings(size=str(scratch)),
    )
