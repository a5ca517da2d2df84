"""Pod hardening: the *restricted* Pod Security Standard, a read-only root, bounded memory, images that stay the same."""

from collections.abc import Iterator

from policies.containers import containers
from policies.rules.rule import Manifest, Rule, at


def _non_root(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.security, "runAsNonRoot") is not True or at(container.security, "runAsUser") in (0, "0"):
            yield f"{container.path} may run as root; set securityContext.runAsNonRoot: true and a runAsUser other than 0"


def _confined(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        path, security = container.path, container.security
        if at(security, "privileged") or at(security, "allowPrivilegeEscalation") is not False:
            yield f"{path} may gain privileges; set securityContext.allowPrivilegeEscalation: false, and no privileged"
        if "ALL" not in at(security, "capabilities.drop", []) or at(security, "capabilities.add"):
            yield f"{path} keeps capabilities; set securityContext.capabilities.drop: [ALL] and add none"
        if at(security, "seccompProfile.type") not in ("RuntimeDefault", "Localhost"):
            yield f"{path} has no seccomp profile; set securityContext.seccompProfile.type: RuntimeDefault"


def _read_only(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.security, "readOnlyRootFilesystem") is not True:
            yield f"{container.path} can change its image's files; set securityContext.readOnlyRootFilesystem: true"


def _bounded(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.spec, "resources.limits.memory", "0") in (0, "0", ""):
            yield f"{container.path} may use all of a node's memory; set resources.limits.memory"


def _pinned(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        image = at(container.spec, "image")
        name = image.rpartition("/")[2] if isinstance(image, str) else ""
        if "@" not in name and (":" not in name or name.endswith((":latest", ":"))):
            yield f"{container.path} runs a different image each day; give image a version or a digest"


POD_RULES = (
    Rule(
        name="pod-non-root",
        description="Containers do not run as root.",
        severity="high",
        check=_non_root,
    ),
    Rule(
        name="pod-confined",
        description="Containers hold no capability and gain no privilege.",
        severity="critical",
        check=_confined,
    ),
    Rule(
        name="pod-read-only",
        description="Containers cannot change their image's files.",
        severity="medium",
        check=_read_only,
    ),
    Rule(
        name="pod-bounded-memory",
        description="Containers have a memory limit.",
        severity="medium",
        check=_bounded,
    ),
    Rule(
        name="pod-pinned-image",
        description="Images are named by version or digest.",
        severity="medium",
        check=_pinned,
    ),
)
