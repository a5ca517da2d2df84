"""The pods that a program will have running, as the network sees them: namespace, labels, ports."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from policies.containers import templates
from policies.rule import Manifest, at, namespace_of
from policies.selectors import Labels

NAMESPACE_NAME = "kubernetes.io/metadata.name"
_NAME = "app.kubernetes.io/name"

# Pods that an operator makes of an object that need not describe any: how it labels them, and the port that they serve.
_OPERATED = {"Prometheus": ("prometheus", 9090), "Alertmanager": ("alertmanager", 9093)}

Port = tuple[str, str, int]  # its name, protocol and number


def namespace_labels(namespace: Manifest) -> dict[str, Any]:
    """Return the labels of a Namespace, with the one that the API server gives each: its name."""
    return {**at(namespace, "metadata.labels", {}), NAMESPACE_NAME: at(namespace, "metadata.name", "")}


@dataclass(frozen=True, slots=True, eq=False)
class Pod:
    """All pods of one template. `address` is what it has once it runs, None before."""

    namespace: str
    labels: Labels
    ports: tuple[Port, ...] = ()
    host_network: bool = False
    address: str | None = None
    manifest: Manifest = field(default_factory=dict[str, Any])

    @property
    def workload(self) -> str:
        """What a person calls it, as `app/api`: by the label that policies select it by, else by its object's name."""
        return f"{self.namespace}/{self.labels.get(_NAME) or at(self.manifest, 'metadata.name', '')}"

    @property
    def alike(self) -> object:
        """What it has in common with all pods that no policy tells from it."""
        return self.namespace, frozenset(self.labels.items()), self.ports, self.host_network


def running(manifest: Manifest) -> Iterator[Pod]:
    """Yield the pods of an object."""
    namespace = namespace_of(manifest)
    operated = _OPERATED.get(at(manifest, "kind", ""))
    if operated:
        name, port = operated
        labels = {**at(manifest, "spec.podMetadata.labels", {}), _NAME: name}
        instance = at(manifest, "metadata.name", "")
        labels |= {name: instance, "app.kubernetes.io/instance": instance}
        labels["app.kubernetes.io/managed-by"] = "prometheus-operator"
        yield Pod(namespace, labels, ports=(("web", "TCP", port),), manifest=manifest)
        return
    for _path, pod, metadata in templates(manifest):
        labels = at(metadata, "labels", {})
        on_node = at(pod, "hostNetwork", default=False) is True
        yield Pod(namespace, labels, tuple(_ports(pod)), on_node, manifest=manifest)


def _ports(pod: Manifest) -> Iterator[Port]:
    for sort in ("containers", "initContainers"):
        for container in at(pod, sort, []):
            for port in at(container, "ports", []):
                yield at(port, "name", ""), at(port, "protocol", "TCP"), at(port, "containerPort", 0)
