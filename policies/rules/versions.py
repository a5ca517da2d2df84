"""The versions of Kubernetes' own API that are there: after an upgrade of the cluster, an object of another one is refused."""

from collections.abc import Iterator

from policies.rule import Manifest, Rule, at

_TARGET = "1.34"  # the node's; what its API server serves when no alpha or beta version is asked for
_SERVED: dict[str, tuple[str, ...]] = {
    "": ("v1",),
    "admissionregistration.k8s.io": ("v1",),
    "apiextensions.k8s.io": ("v1",),
    "apiregistration.k8s.io": ("v1",),
    "apps": ("v1",),
    "auditregistration.k8s.io": (),
    "authentication.k8s.io": ("v1",),
    "authorization.k8s.io": ("v1",),
    "autoscaling": ("v1", "v2"),
    "batch": ("v1",),
    "certificates.k8s.io": ("v1",),
    "coordination.k8s.io": ("v1",),
    "discovery.k8s.io": ("v1",),
    "events.k8s.io": ("v1",),
    "extensions": (),
    "flowcontrol.apiserver.k8s.io": ("v1",),
    "internal.apiserver.k8s.io": (),
    "networking.k8s.io": ("v1",),
    "node.k8s.io": ("v1",),
    "policy": ("v1",),
    "rbac.authorization.k8s.io": ("v1",),
    "resource.k8s.io": ("v1",),
    "scheduling.k8s.io": ("v1",),
    "settings.k8s.io": (),
    "storage.k8s.io": ("v1",),
    "storagemigration.k8s.io": (),
}
_DEPRECATED = {("v1", "Endpoints"): "EndpointSlice", ("v1", "ComponentStatus"): "the components' own health"}


def _built_in(manifest: Manifest) -> bool:
    version = at(manifest, "apiVersion")
    return version is not None and _parts(version)[0] in _SERVED


def _parts(version: str) -> tuple[str, str]:
    group, _slash, name = str(version).rpartition("/")
    return group, name


def _served(manifest: Manifest) -> Iterator[str]:
    version = at(manifest, "apiVersion")
    group, name = _parts(version)
    if name not in _SERVED[group]:
        there = " or ".join(_SERVED[group]) or "another group"
        yield f"apiVersion is not served by Kubernetes {_TARGET}; write {there}"
    elif instead := _DEPRECATED.get((version, at(manifest, "kind"))):
        yield f"kind is deprecated in Kubernetes {_TARGET}; use {instead}"


VERSION_RULES = (
    Rule(
        name="object-served-version",
        description=f"Objects are of a version that Kubernetes {_TARGET} serves, neither removed nor deprecated, alpha or beta.",
        why="On the day the cluster is upgraded, for a fix that cannot wait, nothing of the stack can be applied any more.",
        box="recovery",
        severity="medium",
        controls=("trivy:KSV-0107", "kube-score:stable-version", "kube-linter:no-extensions-v1beta"),
        about=_built_in,
        check=_served,
    ),
)
