"""What of the node a pod may have: what the Pod Security Standards of Kubernetes 1.37 say of it, and two rules beyond.

A rule with a `pss:` control is one check of theirs, neither stricter nor laxer; `pss:baseline` alone is on one of which
*restricted* has a stricter form.
"""

import posixpath
import re
from collections.abc import Iterator

from policies.containers import containers, contexts, has, has_pods, pods, under, volumes
from policies.rule import Admission, Manifest, Rule, at, kinds

_VOLUMES = (
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim"),
    *("projected", "secret"),
)
_HANDLERS = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle.postStart", "lifecycle.preStop")
_SOCKETS = (
    *("/run/docker.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/podman/podman.sock"),
    *("/run/cri-dockerd.sock", "/run/dockershim.sock", "/run/buildkit/buildkitd.sock"),
    *("/run/k3s/containerd/containerd.sock", "/run/k0s/containerd.sock"),
)
_SOCKET_NAMES = (*(posixpath.basename(socket) for socket in _SOCKETS), "containerd.sock.ttrpc")


def _holding_sockets() -> str:
    """Return the pattern of a path of the node that is a runtime's socket, or of a folder with one somewhere below.

    CEL reads it too. /var/run is /run.
    """
    folders = {socket.rsplit("/", depth)[0] for socket in _SOCKETS for depth in range(socket.count("/"))}
    slash = "/(?:[.]?/)*"
    known = "|".join(sorted(folder.removeprefix("/").replace(".", "[.]").replace("/", slash) for folder in folders))
    named = "|".join(name.replace(".", "[.]") for name in _SOCKET_NAMES)
    return f"^(?:{slash})?(?:|var|(?:var{slash})?(?:{known})|(?:.*/)?(?:{named}))(?:/[.]?)*$"


_HOLDS_SOCKET = _holding_sockets()


def _privileged(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.spec, "securityContext.privileged", default=False) is not False:
            yield f"{container.path} is root on the node; remove securityContext.privileged"


def _host_namespaces(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if at(pod, key, default=False) is not False:
                yield f"{under(path, key)} shares what is the node's own; remove it"


def _host_path(manifest: Manifest) -> Iterator[str]:
    for path, volume in volumes(manifest):
        if has(volume, "hostPath"):
            yield f"{path} is a folder of the node; use a claim or an emptyDir in place of hostPath"


def _volume_types(manifest: Manifest) -> Iterator[str]:
    for path, volume in volumes(manifest):
        # One that says nothing of what it is becomes an emptyDir.
        if any(key != "name" and key not in _VOLUMES and has(volume, key) for key in volume):
            yield f"{path} is mounted with the node's own rights; use a claim, or another of {', '.join(_VOLUMES)}"


def _host_ports(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for index, port in enumerate(at(container.spec, "ports", [])):
            if at(port, "hostPort", 0) != 0:
                yield f"{container.path}.ports[{index}] is open on the node; remove hostPort and use a Service"


def _handler_hosts(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for handler in (f"{each}.{action}" for each in _HANDLERS for action in ("httpGet", "tcpSocket")):
            if at(container.spec, f"{handler}.host", "") != "":
                yield f"{container.path}.{handler} has the kubelet connect elsewhere than to the pod; remove host"


def _host_process(manifest: Manifest) -> Iterator[str]:
    for path, context, _pod in contexts(manifest):
        if at(context, "windowsOptions.hostProcess", default=False) is not False:
            yield f"{path}.windowsOptions starts it on the node itself; remove hostProcess"


def _host_path_claims(manifest: Manifest) -> Iterator[str]:
    for key in ("hostPath", "local"):
        if has(at(manifest, "spec", {}), key):
            yield f"spec.{key} is a folder of a node; use a storage class whose driver makes volumes"


def _runtime_socket(manifest: Manifest) -> Iterator[str]:
    for path, volume in volumes(manifest):
        if has(volume, "hostPath") and re.search(
            _HOLDS_SOCKET, posixpath.normpath(f"/{at(volume, 'hostPath.path', '')}")
        ):
            yield f"{path} holds the container runtime's socket; mount another folder, or ask the API server"


POD_HOST_RULES = (
    Rule(
        name="pod-not-privileged",
        description="No container is privileged.",
        why="A privileged container has every capability and every device: it is root on the node, and over all that runs there.",
        box="authorization",
        controls=(
            "pss:privileged",
            "cis:5.2.2",
            "nsa:C-0057",
            "checkov:CKV_K8S_16",
            "trivy:KSV-0017",
            "kube-score:container-security-context-privileged",
        ),
        about=has_pods,
        severity="critical",
        check=_privileged,
        admission=Admission(
            expressions=("variables.containers.all(each, !each.?securityContext.?privileged.orValue(false))",)
        ),
    ),
    Rule(
        name="pod-own-namespaces",
        description="Pods share neither the node's network nor its processes nor its memory.",
        why="On the node's network no NetworkPolicy holds; among its processes a pod reads what others have in memory, passwords too.",
        box="network-segmentation",
        controls=(
            *("pss:hostNamespaces", "cis:5.2.3", "cis:5.2.4", "cis:5.2.5", "nsa:C-0038", "nsa:C-0041"),
            *("checkov:CKV_K8S_17", "checkov:CKV_K8S_18", "checkov:CKV_K8S_19"),
            *("trivy:KSV-0008", "trivy:KSV-0009", "trivy:KSV-0010"),
        ),
        about=has_pods,
        severity="critical",
        check=_host_namespaces,
        admission=Admission(
            expressions=tuple(f"!variables.pod.?{key}.orValue(false)" for key in ("hostNetwork", "hostPID", "hostIPC"))
        ),
    ),
    Rule(
        name="pod-no-host-path",
        description="No pod mounts a folder of the node.",
        why="Who writes to the node's folders starts programs on it; who reads them has the secrets of all its pods.",
        box="authorization",
        controls=(
            "pss:hostPathVolumes",
            "cis:5.2.11",
            "kubescape:C-0045",
            "kubescape:C-0048",
            "trivy:KSV-0023",
            "trivy:KSV-0121",
        ),
        about=has_pods,
        severity="high",
        check=_host_path,
        admission=Admission(expressions=("variables.volumes.all(volume, !has(volume.hostPath))",)),
    ),
    Rule(
        name="pod-volume-types",
        description="Pods mount only what the cluster hands out: claims, configuration, and folders of their own.",
        why="Other volumes are mounted by the node with its own rights, from wherever the pod says.",
        box="authorization",
        controls=("pss:restrictedVolumes", "trivy:KSV-0028"),
        about=has_pods,
        severity="medium",
        check=_volume_types,
    ),
    Rule(
        name="pod-no-host-port",
        description="No container opens a port of the node.",
        why="A port of the node is open to whoever reaches the node, past every Service and NetworkPolicy.",
        box="external-firewall",
        controls=("pss:hostPorts", "cis:5.2.12", "nsa:C-0044", "checkov:CKV_K8S_26", "trivy:KSV-0024"),
        about=has_pods,
        severity="high",
        check=_host_ports,
        admission=Admission(
            expressions=(
                """variables.containers.all(each,
                    each.?ports.orValue([]).all(port, port.?hostPort.orValue(0) == 0))""",
            )
        ),
    ),
    Rule(
        name="pod-probes-itself",
        description="Probes and lifecycle handlers connect to their own pod.",
        why="The kubelet connects from the node, which no NetworkPolicy holds, to whatever host a probe names.",
        box="internal-firewall",
        controls=("pss:hostProbesAndHostLifecycle",),
        about=has_pods,
        severity="medium",
        check=_handler_hosts,
    ),
    Rule(
        name="pod-no-host-process",
        description="No container is a process of a Windows node.",
        why="It has the node's own rights, as one that is privileged has on Linux.",
        box="authorization",
        controls=("pss:windowsHostProcess", "cis:5.2.10", "trivy:KSV-0103"),
        about=has_pods,
        severity="high",
        check=_host_process,
        admission=Admission(
            expressions=("variables.contexts.all(each, !each.?windowsOptions.?hostProcess.orValue(false))",)
        ),
    ),
    Rule(
        name="pod-no-host-path-claim",
        description="No PersistentVolume is a folder of a node.",
        why="Through a claim a pod has the node's folder all the same, and no rule about pods sees it.",
        box="authorization",
        controls=("cis:5.2.11", "kubescape:C-0045"),
        about=kinds("PersistentVolume"),
        severity="high",
        check=_host_path_claims,
    ),
    Rule(
        name="pod-no-runtime-socket",
        description="No pod mounts the container runtime's socket, nor a folder that holds it.",
        why="Who speaks to the runtime starts any container with any right on the node, whatever the API server would say.",
        box="authorization",
        controls=("kubescape:C-0074", "checkov:CKV_K8S_27", "trivy:KSV-0006"),
        about=has_pods,
        severity="critical",
        check=_runtime_socket,
        admission=Admission(
            expressions=(
                f"""variables.volumes.all(volume,
                    !has(volume.hostPath) || !volume.hostPath.path.matches(r'{_HOLDS_SOCKET}'))""",
            )
        ),
    ),
)
