"""Who connects to which database, queue, cache or object store of the stack, and whether it verifies who answers.

Read from the variables of containers, whose names begin with the server's. What an address in a Secret says, nobody sees here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from policies.containers import Container, containers, pods
from policies.rule import Manifest, at, identity, namespace_of

_DATA = ("database", "queue", "cache", "objects")
_PORTS = {1433, 2379, 3306, 5432, 5672, 6379, 6432, 9042, 9092, 11211, 27017}
_HOST = re.compile(r"[A-Za-z0-9][\w.-]*")
_ADDRESSES = ("HOST", "HOSTS", "ADDR", "ADDRESS", "URL", "URI", "DSN", "ENDPOINT", "SERVER", "SERVERS")
_PLAIN = re.compile(r"\b(redis|http|amqp|mqtt|nats|memcached)://|\bsslmode=(?!verify-full)|\btls=false", re.IGNORECASE)
_IN_ADDRESS = re.compile(r"[?&](?:sslrootcert|tlsCAFile|ca)=([^&\s]+)")
_AUTHORITIES = ("CA_FILE", "CA_CERT", "CA_CERT_PATH", "CACERT", "TLS_CACERT", "SSLROOTCERT", "TLS")
_MODES = ("SSLMODE", "SSL_MODE")


@dataclass(frozen=True, slots=True)
class Server:
    """The Service of what keeps data."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Client:
    """A variable that names a server: where it is, whose it names, and whether what answers there is verified."""

    path: str
    server: Server
    verifies: bool
    fix: str


def keeps_data(manifest: Manifest) -> bool:
    """Return whether an object is the Service of what keeps data: by its tier, or by its port."""
    if at(manifest, "kind") != "Service":
        return False
    tier = at(manifest, "metadata.labels", {}).get("app.kubernetes.io/component")
    return tier in _DATA or any(at(port, "port") in _PORTS for port in at(manifest, "spec.ports", []))


def servers(manifests: Sequence[Manifest]) -> list[Server]:
    """Return each Service of what keeps data."""
    return [Server(*identity(manifest)) for manifest in manifests if keeps_data(manifest)]


def clients(manifest: Manifest, known: Sequence[Server]) -> Iterator[Client]:
    """Yield each variable of an object's containers that names one of these servers."""
    here = namespace_of(manifest)
    for container in containers(manifest):
        variables = environment(container.spec)
        for name, value in variables.items():
            prefix = prefix_of(name)
            for server in known:
                if names(server, name, value, here):
                    verifies = verified(container, manifest, prefix, value)
                    fix = f"set {prefix}_CA_FILE to an authority that is mounted, and no plain protocol"
                    yield Client(f"{container.path}.env.{name}", server, verifies, fix)


def environment(container: Manifest) -> dict[str, str]:
    """Return the variables of a container whose values are written in it."""
    return {
        at(variable, "name", ""): str(at(variable, "value", ""))
        for variable in at(container, "env", [])
        if at(variable, "value") is not None
    }


def names(server: Server, variable: str, value: str, here: str) -> bool:
    """Return whether a variable names a server: by its full name, or by the short one from the same namespace."""
    for host in _HOST.findall(value):
        labels = host.split(".")
        if f".{server.name}.{server.namespace}." in f".{host}.":
            return True
        short = len(labels) == 1 and host == server.name and here == server.namespace
        if short and (variable.upper().endswith(_ADDRESSES) or re.search(rf"\b{re.escape(host)}:\d", value)):
            return True
    return False


def prefix_of(variable: str) -> str:
    """Return what the names of one server's variables begin with."""
    return "PG" if variable.startswith("PG") and "_" not in variable else variable.partition("_")[0]


def verified(container: Container, manifest: Manifest, prefix: str, value: str) -> bool:
    """Return whether a client of this address speaks TLS and has an authority to verify who answers."""
    variables = environment(container.spec)
    if _PLAIN.search(value) or any(_of(variables, prefix, mode) not in ("", "verify-full") for mode in _MODES):
        return False
    found = [*_IN_ADDRESS.findall(value), *(_of(variables, prefix, authority) for authority in _AUTHORITIES)]
    mounted = tuple(_mounts(container, manifest))
    return any(path.startswith(mounted) for path in found if path) if mounted else False


def _of(variables: Mapping[str, str], prefix: str, suffix: str) -> str:
    return variables.get(f"{prefix}_{suffix}", "") or (variables.get(f"{prefix}{suffix}", "") if prefix == "PG" else "")


def _mounts(container: Container, manifest: Manifest) -> Iterator[str]:
    """Yield where a container finds files of a Secret or a ConfigMap."""
    named = [
        at(volume, "name")
        for _path, pod in pods(manifest)
        for volume in at(pod, "volumes", [])
        if any(at(volume, sort) for sort in ("secret", "configMap", "projected"))
    ]
    for mount in at(container.spec, "volumeMounts", []):
        if at(mount, "name") in named:
            yield at(mount, "mountPath").rstrip("/")
