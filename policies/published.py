"""What is open to whoever reaches the cluster from outside."""

from collections.abc import Iterator, Sequence

from policies.backends import sends_to
from policies.containers import containers
from policies.edge import OPAQUE_ROUTES, ROUTES, backends
from policies.reachability import Network
from policies.rule import Manifest, at, identity, namespace_of
from policies.running import Pod


def published(manifest: Manifest) -> bool:
    """Return whether an object is a Service that answers on the nodes, or on an address of its own outside."""
    if at(manifest, "kind") != "Service":
        return False
    return at(manifest, "spec.type") in {"NodePort", "LoadBalancer"} or bool(at(manifest, "spec.externalIPs"))


def facing(network: Network, manifests: Sequence[Manifest]) -> list[Pod]:
    """Return the pods that whoever is outside reaches with nothing of the program between: behind such a Service, or on a node."""
    services = [manifest for manifest in manifests if published(manifest)]
    return [pod for pod in network.pods if on_node(pod) or any(sends_to(service, pod) for service in services)]


def routed(network: Network, manifests: Sequence[Manifest]) -> list[Pod]:
    """Return the pods that a gateway or an ingress controller passes requests on to."""
    backends = {backend for manifest in manifests for backend in _backends(manifest)}
    services = [
        manifest for manifest in manifests if at(manifest, "kind") == "Service" and identity(manifest) in backends
    ]
    return [pod for pod in network.pods if any(sends_to(service, pod) for service in services)]


def on_node(pod: Pod) -> bool:
    """Return whether a pod answers on its node's own address."""
    return pod.host_network or any(
        at(port, "hostPort") for container in containers(pod.manifest) for port in at(container.spec, "ports", [])
    )


def _backends(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the namespace and the name of each Service that an object sends requests to."""
    if at(manifest, "kind") == "Ingress":
        paths = [path for rule in at(manifest, "spec.rules", []) for path in at(rule, "http.paths", [])]
        names = [at(path, "backend.service.name") for path in paths]
        names.append(at(manifest, "spec.defaultBackend.service.name"))
        yield from ((namespace_of(manifest), name) for name in names if name)
    elif at(manifest, "kind") in (*ROUTES, *OPAQUE_ROUTES):
        for rule in at(manifest, "spec.rules", []):
            for _path, backend in backends(rule):
                yield at(backend, "namespace", namespace_of(manifest)), at(backend, "name", "")
