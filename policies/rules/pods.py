"""Pod hardening: the *restricted* Pod Security Standard, a read-only root, bounded memory, images that stay the same."""

from collections.abc import Iterator

from policies.containers import containers, has_pods
from policies.rule import Admission, Manifest, Rule, at


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
        why="A process that breaks out of its container is then nobody on the node; as root it is root there too.",
        box="authorization",
        controls=(
            "pss:restricted",
            "cis:5.2.7",
            "nsa:C-0013",
        ),
        about=has_pods,
        severity="high",
        check=_non_root,
    ),
    Rule(
        name="pod-confined",
        description="Containers hold no capability and gain no privilege.",
        why="A capability, a set-user-ID file or an unfiltered system call is what most escapes from a container begin with.",
        box="authorization",
        controls=(
            "pss:restricted",
            "cis:5.2.2",
            "cis:5.2.6",
            "cis:5.2.9",
            "nsa:C-0057",
        ),
        about=has_pods,
        severity="critical",
        check=_confined,
        admission=Admission(
            expressions=(
                """variables.containers.all(container,
                    has(container.securityContext) &&
                    has(container.securityContext.allowPrivilegeEscalation) &&
                    !container.securityContext.allowPrivilegeEscalation &&
                    !(has(container.securityContext.privileged) && container.securityContext.privileged))""",
                """variables.containers.all(container,
                    has(container.securityContext) &&
                    has(container.securityContext.capabilities) &&
                    has(container.securityContext.capabilities.drop) &&
                    container.securityContext.capabilities.drop.exists(name, name == 'ALL') &&
                    !(has(container.securityContext.capabilities.add) &&
                        container.securityContext.capabilities.add.size() > 0))""",
                """variables.containers.all(container,
                    has(container.securityContext) && has(container.securityContext.seccompProfile)
                    ? container.securityContext.seccompProfile.type in ['RuntimeDefault', 'Localhost']
                    : has(variables.pod.securityContext) && has(variables.pod.securityContext.seccompProfile) &&
                        variables.pod.securityContext.seccompProfile.type in ['RuntimeDefault', 'Localhost'])""",
            ),
        ),
    ),
    Rule(
        name="pod-read-only",
        description="Containers cannot change their image's files.",
        why="Who gets a shell in the container cannot leave a tool or change the program that runs next.",
        box="authorization",
        controls=("nsa:C-0017",),
        about=has_pods,
        severity="medium",
        check=_read_only,
    ),
    Rule(
        name="pod-bounded-memory",
        description="Containers have a memory limit.",
        why="One container that takes all memory has its neighbours killed.",
        box="ddos-protection",
        controls=("nsa:C-0271",),
        about=has_pods,
        severity="medium",
        check=_bounded,
    ),
    Rule(
        name="pod-pinned-image",
        description="Images are named by version or digest.",
        why="A tag that moves runs what nobody reviewed, and another program on each node.",
        box="vulnerability-scanning",
        controls=("nsa:C-0075",),
        about=has_pods,
        severity="medium",
        check=_pinned,
    ),
)
