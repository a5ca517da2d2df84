"""What runs pods, how many of them, and which selectors mean them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from policies.containers import Container, containers, templates
from policies.rule import Manifest, at, namespace_of
from policies.selectors import matcher

LASTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
"""The kinds whose pods are there to stay; those of all others end."""


@dataclass(frozen=True, slots=True)
class Workload:
    """An object that runs pods: itself, the pod's path in it, the pod, and the pod's labels."""

    manifest: Manifest
    path: str
    pod: Manifest
    labels: Manifest

    @property
    def namespace(self) -> str:
        """The namespace that its pods are in."""
        return namespace_of(self.manifest)

    @property
    def name(self) -> str:
        """Its name."""
        return at(self.manifest, "metadata.name", "")

    @property
    def kind(self) -> str:
        """Its kind."""
        return at(self.manifest, "kind", "")


def lasts(manifest: Manifest) -> bool:
    """Return whether an object runs pods that are there to stay."""
    kind = at(manifest, "kind")
    return kind in LASTING and (kind != "Pod" or at(manifest, "spec.restartPolicy", "Always") == "Always")


def workloads(manifests: Sequence[Manifest]) -> Iterator[Workload]:
    """Yield each pod that any object runs, with the labels it has from the start."""
    for manifest in manifests:
        for path, pod, metadata in templates(manifest):
            yield Workload(manifest, path, pod, at(metadata, "labels", {}))


def serving(manifest: Manifest) -> Iterator[Container]:
    """Yield the containers that run for as long as the pod does: not the steps before, but those of them that stay."""
    for container in containers(manifest):
        sort = container.path.rpartition(".")[2].partition("[")[0]
        if sort == "containers" or (sort == "initContainers" and at(container.spec, "restartPolicy") == "Always"):
            yield container


def selects(selector: Any, labels: Manifest) -> bool:
    """Return whether a label selector means pods with these labels: an empty one means all, a missing one none."""
    return selector is not None and matcher(selector)(labels)


def autoscaler(manifests: Sequence[Manifest], workload: Manifest) -> Manifest | None:
    """Return the autoscaler of a workload."""
    for manifest in manifests:
        if at(manifest, "kind") == "HorizontalPodAutoscaler" and scales(manifest, workload):
            return manifest
    return None


def scales(scaler: Manifest, workload: Manifest) -> bool:
    """Return whether an autoscaler is one of this workload."""
    target = at(scaler, "spec.scaleTargetRef", {})
    wanted = (namespace_of(scaler), at(target, "kind"), at(target, "name"))
    return wanted == (namespace_of(workload), at(workload, "kind"), at(workload, "metadata.name"))


def least(manifests: Sequence[Manifest], workload: Manifest) -> int:
    """Return how many pods a workload has when it has the fewest."""
    scaler = autoscaler(manifests, workload)
    return int(at(workload, "spec.replicas", 1) if scaler is None else at(scaler, "spec.minReplicas", 1))
