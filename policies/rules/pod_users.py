"""Who a container's processes are: what the Pod Security Standards of Kubernetes 1.37 say of it, and two rules beyond.

A rule with a `pss:` control is one check of theirs, neither stricter nor laxer: it lets a pod be root among users of its own.
The others do not, and ask for numbers, so that it does not depend on the image who runs.
"""

from collections.abc import Iterator
from typing import Any

from policies.containers import containers, contexts, has_pods, pods, under
from policies.rule import Admission, Manifest, Rule, at

_OWN_USERS = "!variables.pod.?hostUsers.orValue(true)"


def _own_users(pod: Manifest) -> bool:
    """Return whether the pod's root is nobody on the node."""
    return at(pod, "hostUsers") is False


def _number(value: Any) -> bool:
    """Return whether a value is the number of a user or group other than root's."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _non_root(manifest: Manifest) -> Iterator[str]:
    for path, context, pod in contexts(manifest):
        if at(context, "runAsNonRoot", default=True) is not True and not _own_users(pod):
            yield f"{path} allows root; set runAsNonRoot: true"
    for container in containers(manifest):
        if at(container.security, "runAsNonRoot") is None and not _own_users(container.pod):
            yield f"{container.path} may run as root; set securityContext.runAsNonRoot: true"


def _user_not_root(manifest: Manifest) -> Iterator[str]:
    for path, context, pod in contexts(manifest):
        user = at(context, "runAsUser")
        if user is not None and not _number(user) and not _own_users(pod):
            yield f"{path} is root's; set runAsUser to the number of another user"


def _user_given(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if not _number(at(container.security, "runAsUser")):
            yield f"{container.path} runs as whom the image says; set securityContext.runAsUser to a number other than 0"


def _groups(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if not _number(at(container.security, "runAsGroup")):
            yield f"{container.path} may be of root's group; set securityContext.runAsGroup to a number other than 0"
    for path, pod in pods(manifest):
        where = under(path, "securityContext")
        if not _number(at(pod, "securityContext.fsGroup", 1)):
            yield f"{where} gives volumes to root's group; set fsGroup to a number other than 0"
        if not all(_number(group) for group in at(pod, "securityContext.supplementalGroups", [])):
            yield f"{where} is of root's group; remove 0 from supplementalGroups"


POD_USER_RULES = (
    Rule(
        name="pod-non-root",
        description="Containers do not run as root, but for users of the pod's own.",
        why="A process that breaks out of its container is then nobody on the node; as root it is root there too.",
        box="authorization",
        controls=("pss:runAsNonRoot", "cis:5.2.7", "nsa:C-0013", "checkov:CKV_K8S_23", "trivy:KSV-0012"),
        about=has_pods,
        severity="high",
        check=_non_root,
        admission=Admission(
            expressions=(
                f"{_OWN_USERS} || variables.contexts.all(each, each.?runAsNonRoot.orValue(true))",
                f"""{_OWN_USERS} || variables.pod.?securityContext.?runAsNonRoot.hasValue() ||
                    variables.containers.all(each, each.?securityContext.?runAsNonRoot.hasValue())""",
            ),
        ),
    ),
    Rule(
        name="pod-user-not-root",
        description="No user that is given by number is root's, but for users of the pod's own.",
        why="The kubelet refuses such a pod where runAsNonRoot is set; where it is not, the process is root.",
        box="authorization",
        controls=("pss:runAsUser", "nsa:C-0013", "trivy:KSV-0105"),
        about=has_pods,
        severity="high",
        check=_user_not_root,
        admission=Admission(
            expressions=(f"{_OWN_USERS} || variables.contexts.all(each, each.?runAsUser.orValue(1) > 0)",),
        ),
    ),
    Rule(
        name="pod-user-given",
        description="Containers run as a user that is given by number.",
        why="Otherwise the next image decides who runs, and a user that it gives by name keeps the pod from starting.",
        box="authorization",
        controls=("cis:5.6.3",),
        about=has_pods,
        severity="medium",
        check=_user_given,
    ),
    Rule(
        name="pod-no-root-group",
        description="Containers and their volumes are of no group of root's.",
        why="Most files of an image and of a node let root's group read them, some let it write.",
        box="authorization",
        controls=("nsa:C-0013", "trivy:KSV-0116"),
        about=has_pods,
        severity="low",
        check=_groups,
    ),
)
