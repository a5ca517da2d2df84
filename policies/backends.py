"""What stands behind a Service: the pods that it sends to, by the labels that they have, or are given as they run."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from policies.containers import templates, under
from policies.rule import Manifest, at, namespace_of
from policies.workloads import workloads

_POD_NAME = "statefulset.kubernetes.io/pod-name"
# Labels that a template need not have, for pods get them while they run: from Kubernetes' controllers, from Patroni, from Spilo.
_GIVEN = ("apps.kubernetes.io/pod-index", "batch.kubernetes.io/job-completion-index", "role", "spilo-role")


class Pods(Protocol):
    """The pods of one template: their namespace, the labels that they have from the start, and the object they are of."""

    @property
    def namespace(self) -> str: ...  # noqa: D102
    @property
    def labels(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def manifest(self) -> Manifest: ...  # noqa: D102


def pod_metadata(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield the path and the metadata of each pod that an object describes."""
    for path, _pod, metadata in templates(manifest):
        yield under(path.rpartition(".")[0], "metadata"), metadata


def sends_to(service: Manifest, pods: Pods) -> bool:
    """Return whether a Service sends to any of some pods: to none without a selector.

    A label that the template lacks is taken to be given later only where it is known who gives it: else a misspelt one selects all.
    """
    selector: Manifest = at(service, "spec.selector", {})
    same = bool(selector) and pods.namespace == namespace_of(service)
    return same and all(
        pods.labels[key] == value if key in pods.labels else _given(pods.manifest, key, value)
        for key, value in selector.items()
    )


def behind(service: Manifest, manifests: Sequence[Manifest]) -> list[Manifest]:
    """Return the workloads whose pods a Service sends to."""
    found = {id(each.manifest): each.manifest for each in workloads(manifests) if sends_to(service, each)}
    return list(found.values())


def _given(manifest: Manifest, key: str, value: Any) -> bool:
    """Return whether a pod of an object gets a label that its template does not have."""
    if key == _POD_NAME and at(manifest, "kind") == "StatefulSet":
        name = at(manifest, "metadata.name", "")
        return value in [f"{name}-{ordinal}" for ordinal in range(int(at(manifest, "spec.replicas", 1)))]
    return key in _GIVEN
