"""One view of every container that an object starts, whatever sort it is and however deep its pod template lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from policies.rule import Manifest, Unreadable, at

_TEMPLATE = "spec.template.spec"
POD_PATHS = {
    "Pod": "spec",
    "PodTemplate": "template.spec",
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "ReplicationController": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": "spec.jobTemplate.spec.template.spec",
}
# Groups of Kubernetes itself, none of whose kinds has a pod in it: most objects of a program, which each rule about pods would
# search for them. Whatever is of another group is searched.
_WITHOUT_PODS = frozenset(
    {
        "admissionregistration.k8s.io",
        "apiextensions.k8s.io",
        "apiregistration.k8s.io",
        "autoscaling",
        "certificates.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "gateway.networking.k8s.io",
        "networking.k8s.io",
        "node.k8s.io",
        "policy",
        "rbac.authorization.k8s.io",
        "resource.k8s.io",
        "scheduling.k8s.io",
        "snapshot.storage.k8s.io",
        "storage.k8s.io",
    }
)
_SORTS = ("initContainers", "containers", "ephemeralContainers")

# What a container takes from its pod where it says nothing itself. The pod's other fields are of no effect on it, and a
# field of the container's, written into the pod, is of none at all.
_INHERITED = ("runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile", "seLinuxOptions", "appArmorProfile")


@dataclass(frozen=True, slots=True)
class Container:
    """A container: where it is, itself, and the security context in force."""

    path: str
    spec: Manifest
    security: Manifest


def pods(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield each pod that an object describes, with its path; an object of a kind not known here is searched for them."""
    path = POD_PATHS.get(at(manifest, "kind", ""))
    if path is not None:
        yield path, at(manifest, path, {})
    elif not _without_pods(manifest.get("apiVersion")):
        yield from _embedded(manifest, "")


def has_pods(manifest: Manifest) -> bool:
    """Return whether an object describes a pod."""
    return any(True for _pod in pods(manifest))


def containers(manifest: Manifest) -> Iterator[Container]:
    """Yield each container of any sort."""
    for path, pod in pods(manifest):
        of_pod = at(pod, "securityContext", {})
        inherited = {key: of_pod[key] for key in _INHERITED if of_pod.get(key) is not None}
        for sort in _SORTS:
            for index, container in enumerate(at(pod, sort, [])):
                own = at(container, "securityContext", {})
                security = {**inherited, **{key: value for key, value in own.items() if value is not None}}
                yield Container(f"{path}.{sort}[{index}]".lstrip("."), container, security)


def _without_pods(version: object) -> bool:
    """Return whether an API version is one whose kinds, but for those of _POD_PATHS, have no pod in them."""
    return isinstance(version, str) and (version == "v1" or version.partition("/")[0] in _WITHOUT_PODS)


def _embedded(value: Any, path: str) -> Iterator[tuple[str, Manifest]]:
    if isinstance(value, dict):
        items = cast("Manifest", value)
        if any(isinstance(items.get(sort), (list, Unreadable)) for sort in _SORTS):
            yield path, items
        for key, inner in items.items():
            yield from _embedded(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _embedded(inner, f"{path}[{index}]")
