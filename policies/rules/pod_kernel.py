"""What a container may ask of the kernel: what the Pod Security Standards of Kubernetes 1.37 say of it.

Each rule is one check of theirs, neither stricter nor laxer; `pss:baseline` alone is on one of which *restricted* has a stricter
form.
"""

from collections.abc import Iterator
from typing import Any

from policies.containers import Container, annotations, containers, contexts, has, has_pods, pods, under
from policies.rule import Admission, Manifest, Rule, at

_DEFAULT_CAPABILITIES = (
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
)
_SAFE_SYSCTLS = (
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout"),
    *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time"),
    *("net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem"),
)
_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_EACH = "variables.containers.all(each"
_CAPABILITIES = "each.?securityContext.?capabilities"
_CONFINED = (
    "variables.contexts.all(each, each.?seccompProfile.?type.orValue('Localhost') in ['RuntimeDefault', 'Localhost'])"
)
_APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"


def _windows(pod: Manifest) -> bool:
    """Return whether a pod has another kernel, to which nothing of this can be said."""
    return at(pod, "os.name") == "windows"


def _unconfined(context: Manifest, profile: str) -> bool:
    return has(context, profile) and at(context, f"{profile}.type") not in ("RuntimeDefault", "Localhost")


def _capabilities(container: Container, way: str) -> list[Any]:
    return [*at(container.spec, f"securityContext.capabilities.{way}", [])]


def _escalation(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.spec, "securityContext.allowPrivilegeEscalation") is not False and not _windows(container.pod):
            yield f"{container.path} may gain privileges; set securityContext.allowPrivilegeEscalation: false"


def _default_capabilities(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if any(added not in _DEFAULT_CAPABILITIES for added in _capabilities(container, "add")):
            path = f"{container.path}.securityContext.capabilities"
            yield f"{path} has more than containers have by default; remove it from add"


def _no_capabilities(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        path = f"{container.path}.securityContext.capabilities"
        if "ALL" not in _capabilities(container, "drop") and not _windows(container.pod):
            yield f"{path} keeps some; set drop: [ALL]"
        if any(each != "NET_BIND_SERVICE" for each in _capabilities(container, "add")) and not _windows(container.pod):
            yield f"{path} has some; remove all but NET_BIND_SERVICE from add"


def _seccomp(manifest: Manifest) -> Iterator[str]:
    for path, context, _pod in contexts(manifest):
        if _unconfined(context, "seccompProfile"):
            yield f"{path}.seccompProfile lets every system call through; set type: RuntimeDefault"


def _seccomp_given(manifest: Manifest) -> Iterator[str]:
    for path, context, pod in contexts(manifest):
        if _unconfined(context, "seccompProfile") and not _windows(pod):
            yield f"{path}.seccompProfile lets every system call through; set type: RuntimeDefault"
    for container in containers(manifest):
        if not has(container.security, "seccompProfile") and not _windows(container.pod):
            yield f"{container.path} has no seccomp profile; set securityContext.seccompProfile.type: RuntimeDefault"


def _proc_mount(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if _unmasked(container):
            yield f"{container.path} sees what the runtime hides of /proc; remove securityContext.procMount"


def _proc_mount_of_the_node(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if _unmasked(container) and at(container.pod, "hostUsers") is not False:
            yield f"{container.path} sees what the runtime hides of /proc; remove securityContext.procMount"


def _unmasked(container: Container) -> bool:
    return at(container.spec, "securityContext.procMount", "Default") != "Default"


def _app_armor(manifest: Manifest) -> Iterator[str]:
    for path, context, _pod in contexts(manifest):
        if _unconfined(context, "appArmorProfile"):
            yield f"{path}.appArmorProfile takes the profile away; set type: RuntimeDefault"
    for path, of_pod in annotations(manifest):
        for value in (of_pod[key] for key in of_pod if key.startswith(_APP_ARMOR)):
            if value not in ("", "runtime/default") and not value.startswith("localhost/"):
                yield f"{path} takes the AppArmor profile of a container away; remove the annotation"


def _selinux(manifest: Manifest) -> Iterator[str]:
    for path, context, _pod in contexts(manifest):
        options = at(context, "seLinuxOptions", {})
        if at(options, "type", "") not in _SELINUX_TYPES or at(options, "user") or at(options, "role"):
            yield f"{path}.seLinuxOptions leaves the domain of containers; remove type, user and role"


def _sysctls(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        for index, sysctl in enumerate(at(pod, "securityContext.sysctls", [])):
            if at(sysctl, "name") not in _SAFE_SYSCTLS:
                where = under(path, f"securityContext.sysctls[{index}]")
                yield f"{where} is of effect beyond the pod; remove it"


POD_KERNEL_RULES = (
    Rule(
        name="pod-no-privilege-escalation",
        description="No process of a container gains more privileges than it began with.",
        why="A set-user-ID program in the image makes anybody in the container root in it.",
        box="authorization",
        controls=("pss:allowPrivilegeEscalation", "cis:5.2.6", "nsa:C-0016", "checkov:CKV_K8S_20", "trivy:KSV-0001"),
        about=has_pods,
        severity="high",
        check=_escalation,
        admission=Admission(
            expressions=(
                f"!variables.linux || {_EACH}, !each.?securityContext.?allowPrivilegeEscalation.orValue(true))",
            ),
        ),
    ),
    Rule(
        name="pod-default-capabilities",
        description="No container has a capability beyond those that containers have by default.",
        why="SYS_ADMIN, NET_ADMIN or SYS_PTRACE each undo a part of what keeps a container in.",
        box="authorization",
        controls=("pss:capabilities_baseline", "cis:5.2.9", "nsa:C-0046", "checkov:CKV_K8S_25", "trivy:KSV-0022"),
        about=has_pods,
        severity="high",
        check=_default_capabilities,
        admission=Admission(
            expressions=(f"{_EACH}, {_CAPABILITIES}.?add.orValue([]).all(name, name in {[*_DEFAULT_CAPABILITIES]}))",),
        ),
    ),
    Rule(
        name="pod-no-capabilities",
        description="Containers drop all capabilities; they may add back that to serve a port below 1024.",
        why="What the default leaves, raw packets and changing owners, is what a neighbour's address is taken with.",
        box="authorization",
        controls=(
            *("pss:capabilities_restricted", "cis:5.2.8", "cis:5.2.9", "cis:5.6.3", "nsa:C-0046", "checkov:CKV_K8S_28"),
            *("checkov:CKV_K8S_30", "checkov:CKV_K8S_37", "trivy:KSV-0003", "trivy:KSV-0106", "trivy:KSV-0118"),
        ),
        about=has_pods,
        severity="high",
        check=_no_capabilities,
        admission=Admission(
            expressions=(
                f"!variables.linux || {_EACH}, 'ALL' in {_CAPABILITIES}.?drop.orValue([]))",
                f"!variables.linux || {_EACH}, {_CAPABILITIES}.?add.orValue([]).all(name, name == 'NET_BIND_SERVICE'))",
            ),
        ),
    ),
    Rule(
        name="pod-seccomp-kept",
        description="Nothing takes a container's seccomp profile away.",
        why="Most escapes through the kernel begin with a system call that the default profile does not let through.",
        box="authorization",
        controls=("pss:seccompProfile_baseline", "trivy:KSV-0104"),
        about=has_pods,
        severity="high",
        check=_seccomp,
        admission=Admission(expressions=(_CONFINED,)),
    ),
    Rule(
        name="pod-seccomp",
        description="Every container runs under the runtime's seccomp profile, or one of the node's.",
        why="Without one a container may make every system call that the kernel has, those with the holes too.",
        box="authorization",
        controls=("pss:seccompProfile_restricted", "cis:5.6.2", "nsa:C-0055", "checkov:CKV_K8S_31", "trivy:KSV-0030"),
        about=has_pods,
        severity="high",
        check=_seccomp_given,
        admission=Admission(
            expressions=(
                f"!variables.linux || {_CONFINED}",
                f"""!variables.linux || variables.pod.?securityContext.?seccompProfile.hasValue() ||
                    {_EACH}, each.?securityContext.?seccompProfile.hasValue())""",
            ),
        ),
    ),
    Rule(
        name="pod-proc-masked-for-host-users",
        description="A container that shares the node's users sees /proc as the runtime shows it.",
        why="Through an unmasked /proc, root in the container reads and sets what is the kernel's own.",
        box="authorization",
        controls=("pss:procMount",),
        about=has_pods,
        severity="medium",
        check=_proc_mount_of_the_node,
    ),
    Rule(
        name="pod-proc-masked",
        description="Every container sees /proc as the runtime shows it.",
        why="What the runtime hides tells an intruder of the kernel's memory and of the node's devices.",
        box="authorization",
        controls=("pss:procMount_restricted", "trivy:KSV-0027"),
        about=has_pods,
        severity="medium",
        check=_proc_mount,
    ),
    Rule(
        name="pod-app-armor",
        description="Nothing takes a container's AppArmor profile away.",
        why="The profile keeps a process from mounting and from writing to /proc even where it is root.",
        box="authorization",
        controls=("pss:appArmorProfile", "nsa:C-0055", "trivy:KSV-0002"),
        about=has_pods,
        severity="medium",
        check=_app_armor,
    ),
    Rule(
        name="pod-selinux",
        description="Containers stay in the SELinux domain that is for containers.",
        why="In another domain a process that breaks out is let at the node's files.",
        box="authorization",
        controls=("pss:seLinuxOptions", "trivy:KSV-0025"),
        about=has_pods,
        severity="medium",
        check=_selinux,
    ),
    Rule(
        name="pod-safe-sysctls",
        description="Pods set only the sysctls that are of no effect beyond the pod.",
        why="Another sysctl changes the kernel for all that runs on the node, or uses up its memory.",
        box="authorization",
        controls=("pss:sysctls", "trivy:KSV-0026"),
        about=has_pods,
        severity="medium",
        check=_sysctls,
    ),
)
