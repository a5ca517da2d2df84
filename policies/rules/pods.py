"""Pod hardening: the *restricted* Pod Security Standard, a read-only root, bounded memory, images that stay the same."""

from collections.abc import Iterator
from typing import Any, cast

from policies.rules.rule import Manifest, Rule

_TEMPLATE = "spec.template.spec"
_POD_PATHS = {
    "Pod": "spec",
    "Deployment": _TEMPLATE,
    "StatefulSet": _TEMPLATE,
    "DaemonSet": _TEMPLATE,
    "ReplicaSet": _TEMPLATE,
    "Job": _TEMPLATE,
    "CronJob": "spec.jobTemplate.spec.template.spec",
}


def _at(value: Any, path: str, default: Any = None) -> Any:
    """Return what is at a dotted path; `default` where any part is absent or null."""
    for part in path.split("."):
        value = cast("Manifest", value).get(part) if isinstance(value, dict) else None
    return default if value is None else value


def _containers(manifest: Manifest) -> Iterator[tuple[str, Manifest, Manifest]]:
    """Yield each container of any sort: its path, itself, and the security context in force, its own before the pod's."""
    path = _POD_PATHS.get(manifest.get("kind", ""))
    if path is None:
        return
    pod: Manifest = _at(manifest, f"{path}.securityContext", {})
    for sort in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(_at(manifest, f"{path}.{sort}", [])):
            yield f"{path}.{sort}[{index}]", container, {**pod, **_at(container, "securityContext", {})}


def _non_root(manifest: Manifest) -> Iterator[str]:
    for path, _container, security in _containers(manifest):
        if security.get("runAsNonRoot") is not True or security.get("runAsUser") == 0:
            yield f"{path} may run as root; set securityContext.runAsNonRoot: true and a runAsUser other than 0"


def _confined(manifest: Manifest) -> Iterator[str]:
    for path, _container, security in _containers(manifest):
        if security.get("privileged") or security.get("allowPrivilegeEscalation") is not False:
            yield f"{path} may gain privileges; set securityContext.allowPrivilegeEscalation: false"
        if "ALL" not in _at(security, "capabilities.drop", []) or _at(security, "capabilities.add"):
            yield f"{path} keeps capabilities; set securityContext.capabilities.drop: [ALL] and add none"
        if _at(security, "seccompProfile.type") not in ("RuntimeDefault", "Localhost"):
            yield f"{path} has no seccomp profile; set securityContext.seccompProfile.type: RuntimeDefault"


def _read_only(manifest: Manifest) -> Iterator[str]:
    for path, _container, security in _containers(manifest):
        if security.get("readOnlyRootFilesystem") is not True:
            yield f"{path} can change its image's files; set securityContext.readOnlyRootFilesystem: true"


def _bounded(manifest: Manifest) -> Iterator[str]:
    for path, container, _security in _containers(manifest):
        if not _at(container, "resources.limits.memory"):
            yield f"{path} may use all of a node's memory; set resources.limits.memory"


def _pinned(manifest: Manifest) -> Iterator[str]:
    for path, container, _security in _containers(manifest):
        image = container.get("image")
        name = image.rpartition("/")[2] if isinstance(image, str) else ""
        if "@" not in name and (":" not in name or name.endswith(":latest")):
            yield f"{path} runs a different image each day; give image a version or a digest"


POD_RULES = (
    Rule(name="pod-non-root", description="Containers do not run as root.", check=_non_root),
    Rule(name="pod-confined", description="Containers hold no capability and gain no privilege.", check=_confined),
    Rule(name="pod-read-only", description="Containers cannot change their image's files.", check=_read_only),
    Rule(name="pod-bounded-memory", description="Containers have a memory limit.", check=_bounded),
    Rule(name="pod-pinned-image", description="Images are named by version or digest.", check=_pinned),
)
