"""One view of every pod and container that an object starts, whatever sort it is and however deep its template lies."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from policies.rule import Manifest, Unreadable, at, found_once

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
# An operator's own Job or StatefulSet has its pods wherever it likes.
_GROUPS = ("", "apps", "batch")
_SORTS = ("initContainers", "containers", "ephemeralContainers")
# An operator that makes the containers itself may still let the resource say this of the pod.
_HOST = ("hostNetwork", "hostPID", "hostIPC")

# What a container takes from its pod where it says nothing itself. The pod's other fields are of no effect on it, and a
# field of the container's, written into the pod, is of none at all.
_INHERITED = ("runAsNonRoot", "runAsUser", "runAsGroup", "seccompProfile", "seLinuxOptions", "appArmorProfile")


@dataclass(frozen=True, slots=True)
class Container:
    """A container: where it is, itself, the security context in force, and its pod."""

    path: str
    spec: Manifest
    security: Manifest
    pod: Manifest


def pods(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield each pod that an object describes, with its path; an object of a kind not known here is searched for them."""
    for path, pod, _template in _pods(manifest):
        yield path, pod


def templates(manifest: Manifest) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield the path of each pod that an object describes, the pod, and the metadata that is beside it."""
    for path, pod, template in _pods(manifest):
        yield path, pod, at(template, "metadata", {})


def annotations(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield the annotations that each pod of an object gets, with their path; an operator may call them its `podMetadata`."""
    for path, pod, template in _pods(manifest):
        yield under(path.rpartition(".")[0], "metadata.annotations"), at(template, "metadata.annotations", {})
        yield under(path, "podMetadata.annotations"), at(pod, "podMetadata.annotations", {})


def has_pods(manifest: Manifest) -> bool:
    """Return whether an object describes a pod."""
    return any(True for _pod in pods(manifest))


@found_once
def containers(manifest: Manifest) -> Iterator[Container]:
    """Yield each container of any sort."""
    for path, pod in pods(manifest):
        of_pod = at(pod, "securityContext", {})
        inherited = {key: of_pod[key] for key in _INHERITED if of_pod.get(key) is not None}
        for sort in _SORTS:
            for index, container in enumerate(at(pod, sort, [])):
                own = at(container, "securityContext", {})
                security = {**inherited, **{key: value for key, value in own.items() if value is not None}}
                yield Container(under(path, f"{sort}[{index}]"), container, security, pod)


def _without_pods(version: object) -> bool:
    """Return whether an API version is one whose kinds, but for those of POD_PATHS, have no pod in them."""
    return isinstance(version, str) and (version == "v1" or version.partition("/")[0] in _WITHOUT_PODS)


def contexts(manifest: Manifest) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield each security context as it is written, the pods' first: its path, itself, and the pod it is of."""
    for path, pod in pods(manifest):
        yield under(path, "securityContext"), at(pod, "securityContext", {}), pod
    for container in containers(manifest):
        yield f"{container.path}.securityContext", at(container.spec, "securityContext", {}), container.pod


def volumes(manifest: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield each volume of each pod, with its path."""
    for path, pod in pods(manifest):
        for index, volume in enumerate(at(pod, "volumes", [])):
            yield under(path, f"volumes[{index}]"), volume


def has(value: Any, key: str) -> bool:
    """Return whether a mapping says anything under a key, be it that it cannot be read."""
    if isinstance(value, Unreadable):
        value.read()
    return isinstance(value, dict) and cast("Manifest", value).get(key) is not None


def under(path: str, key: str) -> str:
    """Return the path of a key of what is at a path; the path of the object itself is empty."""
    return f"{path}.{key}" if path else key


@found_once
def _pods(manifest: Manifest) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield the path of each pod, itself, and the template that it is the spec of."""
    if not _custom(manifest):
        path = POD_PATHS[manifest["kind"]]
        template = path.rpartition(".")[0]
        yield path, at(manifest, path, {}), at(manifest, template, {}) if template else manifest
    elif _without_pods(manifest.get("apiVersion")):
        return
    elif isinstance(spec := manifest.get("spec"), Unreadable) and "." in _group(manifest):
        # An operator's resource may be one of a pod; it is judged as one.
        yield "spec", cast("Manifest", spec), manifest
    else:
        yield from _embedded(manifest, "", {})


def _custom(manifest: Manifest) -> bool:
    """Return whether an object is of a kind of which it is not known where its pods are."""
    return at(manifest, "kind", "") not in POD_PATHS or _group(manifest) not in _GROUPS


def _group(manifest: Manifest) -> str:
    return str(at(manifest, "apiVersion", "")).rpartition("/")[0]


def _embedded(value: Any, path: str, beside: Manifest) -> Iterator[tuple[str, Manifest, Manifest]]:
    if isinstance(value, dict):
        items = cast("Manifest", value)
        if _is_pod(items):
            yield path, items, beside
        for key, inner in items.items():
            yield from _embedded(inner, under(path, key), items)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _embedded(inner, f"{path}[{index}]", {})


def _is_pod(items: Manifest) -> bool:
    return any(isinstance(items.get(sort), (list, Unreadable)) for sort in _SORTS) or any(
        isinstance(items.get(key), (bool, Unreadable)) for key in _HOST
    )
