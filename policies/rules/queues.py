"""Redis and memcached: TLS and accounts for whoever comes, and a queue that keeps what it took."""

from collections.abc import Iterator

from policies.containers import Container, pods
from policies.databases import Command, commands
from policies.rule import Manifest, Rule, at

_REDIS, _MEMCACHED = "redis-server", "memcached"


def _is_redis(manifest: Manifest) -> bool:
    return any(True for _command in commands(manifest, _REDIS))


def _is_queue(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "StatefulSet" and _is_redis(manifest)


def _is_memcached(manifest: Manifest) -> bool:
    return any(True for _command in commands(manifest, _MEMCACHED))


def _encrypted(manifest: Manifest) -> Iterator[str]:
    for _container, command in commands(manifest, _REDIS):
        told = command.options
        if told.get("port") != "0":
            yield f"{command.path} also answers without TLS; give redis-server --port 0"
        for option in ("tls-port", "tls-cert-file", "tls-key-file"):
            if told.get(option, "0") == "0":
                yield f"{command.path} answers without TLS; give redis-server --{option}"
        if told.get("tls-replication") != "yes":
            yield f"{command.path} copies its data in plain; give redis-server --tls-replication yes"


def _accounted(manifest: Manifest) -> Iterator[str]:
    for container, command in commands(manifest, _REDIS):
        kept = tuple(_secret_files(container, manifest))
        files = [*command.files, command.options.get("aclfile", "")]
        if not any(file.startswith(kept) for file in files if file) if kept else True:
            yield f"{command.path} lets everybody in; give redis-server a file of accounts, from a Secret"


def _secret_files(container: Container, manifest: Manifest) -> Iterator[str]:
    secret = [
        at(volume, "name")
        for _path, pod in pods(manifest)
        for volume in at(pod, "volumes", [])
        if at(volume, "secret.secretName")
    ]
    for mount in at(container.spec, "volumeMounts", []):
        if at(mount, "name") in secret:
            yield f"{at(mount, 'mountPath').rstrip('/')}/"


def _durable(manifest: Manifest) -> Iterator[str]:
    claims = [at(claim, "metadata.name") for claim in at(manifest, "spec.volumeClaimTemplates", [])]
    for container, command in commands(manifest, _REDIS):
        told, where = command.options, _written(container, command, claims)
        if told.get("appendonly") != "yes" or told.get("appendfsync", "everysec") not in ("always", "everysec"):
            yield f"{command.path} forgets its jobs when it ends; give redis-server --appendonly yes --appendfsync always"
        if told.get("maxmemory-policy", "noeviction") != "noeviction":
            yield f"{command.path} throws jobs away when it is full; give redis-server --maxmemory-policy noeviction"
        if not where:
            yield f"{command.path} writes to no volume that stays; give redis-server --dir in a claim of the set"


def _written(container: Container, command: Command, claims: list[str]) -> bool:
    kept = [at(mount, "mountPath") for mount in at(container.spec, "volumeMounts", []) if at(mount, "name") in claims]
    place = command.options.get("dir", "/data")
    return any(f"{place}/".startswith(f"{path.rstrip('/')}/") for path in kept)


def _guarded(manifest: Manifest) -> Iterator[str]:
    for _container, command in commands(manifest, _MEMCACHED):
        told = command.options
        if not {"enable-ssl", "Z"} & told.keys():
            yield f"{command.path} answers without TLS; give memcached --enable-ssl"
        if not {"disable-flush-all", "F"} & told.keys():
            yield f"{command.path} lets any client empty it; give memcached --disable-flush-all"


QUEUE_RULES = (
    Rule(
        name="database-redis-only-tls",
        description="Redis answers, and copies its data, with TLS only.",
        why="Jobs carry what users typed; on the network they are read and changed in passing.",
        box="database-security",
        severity="medium",
        about=_is_redis,
        check=_encrypted,
    ),
    Rule(
        name="database-redis-accounts",
        description="Redis has accounts, which come from a Secret.",
        why="Without them whoever reaches the port can run any command: read all, erase all, load code.",
        box="database-security",
        severity="high",
        about=_is_redis,
        check=_accounted,
    ),
    Rule(
        name="database-redis-durable",
        description="A Redis with volumes writes each command to them, and throws nothing away when it is full.",
        why="A restart, or a busy day, silently loses jobs that were accepted.",
        box="database-security",
        severity="medium",
        about=_is_queue,
        check=_durable,
    ),
    Rule(
        name="database-memcached-guarded",
        description="Memcached answers with TLS only, and no client can empty it.",
        why="It has no accounts: whoever listens reads sessions, and one command sends all load to the database.",
        box="database-security",
        severity="medium",
        about=_is_memcached,
        check=_guarded,
    ),
)
