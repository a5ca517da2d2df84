"""Pod hardening beyond the Pod Security Standards: what a container may write and use up, how it starts, and where it runs."""

import re
from collections.abc import Iterator
from typing import Any

from policies.commands import changes_itself
from policies.containers import Container, containers, has, has_pods, pods, under, volumes
from policies.rule import Admission, Manifest, Rule, at, kinds

_FIRST_FREE_PORT = 1024
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
_NODE = "kubernetes.io/hostname"
_COMMANDS = (
    *("command", "args", "livenessProbe.exec.command", "readinessProbe.exec.command", "startupProbe.exec.command"),
    *("lifecycle.postStart.exec.command", "lifecycle.preStop.exec.command"),
)
_GIT_SYNC = re.compile(r"(?:^|/)git-sync(?:[:@]|$)")


def _read_only(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if at(container.spec, "securityContext.readOnlyRootFilesystem") is not True:
            yield f"{container.path} can change its image's files; set securityContext.readOnlyRootFilesystem: true"


def _unbounded(quantity: Any) -> bool:
    """Return whether a quantity bounds nothing: none is given, or it is zero in any unit."""
    return not re.search(r"[1-9]", str(quantity).partition("e")[0].partition("E")[0])


def _bounded_scratch(manifest: Manifest) -> Iterator[str]:
    for path, volume in volumes(manifest):
        # A volume that does not say what it is becomes an emptyDir.
        scratch = has(volume, "emptyDir") or not any(has(volume, key) for key in volume if key != "name")
        if scratch and _unbounded(at(volume, "emptyDir.sizeLimit", "")):
            yield f"{path} may use all of a node's disk; set emptyDir.sizeLimit"


def _bounded_memory(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if _unbounded(at(container.spec, "resources.limits.memory", "")):
            yield f"{container.path} may use all of a node's memory; set resources.limits.memory"


def _free_ports(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for index, port in enumerate(at(container.spec, "ports", [])):
            if int(at(port, "containerPort", 0)) < _FIRST_FREE_PORT:
                yield f"{container.path}.ports[{index}] is one that only root may open; set containerPort to 1024 or more"


def _interactive(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if any(at(container.spec, key, default=False) is not False for key in ("stdin", "stdinOnce", "tty")):
            yield f"{container.path} waits for somebody to type; remove stdin, stdinOnce and tty"
    for path, pod in pods(manifest):
        if at(pod, "ephemeralContainers", []):
            yield f"{under(path, 'ephemeralContainers')} is for debugging by hand; remove it"


def _words(container: Container) -> Iterator[str]:
    for where in _COMMANDS:
        yield " ".join(str(word) for word in at(container.spec, where, []))


def _as_built(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if any(changes_itself(words) for words in _words(container)):
            yield f"{container.path} gets itself programs or rights as it starts; build them into the image"
        if _GIT_SYNC.search(at(container.spec, "image", "")):
            yield f"{container.path} runs what is in a repository at the moment; build it into the image"


def _own_processes(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        if at(pod, "shareProcessNamespace", default=False) is not False:
            yield f"{under(path, 'shareProcessNamespace')} lets each container into the others; remove it"


def _own_names(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        if at(pod, "hostAliases", []):
            yield f"{under(path, 'hostAliases')} sends names past DNS; remove it"


def _service_links(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        if at(pod, "enableServiceLinks") is not False:
            yield f"{path or 'spec'} is told of every Service beside it; set enableServiceLinks: false"


def _kept(manifest: Manifest) -> Iterator[str]:
    if not any(at(owner, "controller") is True for owner in at(manifest, "metadata.ownerReferences", [])):
        yield "kind is one that nothing replaces or rolls out; use a Deployment, a StatefulSet or a Job"


def _placed(manifest: Manifest) -> Iterator[str]:
    for path, pod in pods(manifest):
        for index, toleration in enumerate(at(pod, "tolerations", [])):
            if at(toleration, "key", "") in ("", *_CONTROL_PLANE):
                where = under(path, f"tolerations[{index}]")
                yield f"{where} lets it onto the nodes of the control plane; set key to a taint of other nodes"
        if at(pod, "nodeName", "") != "":
            yield f"{under(path, 'nodeName')} is past the scheduler; remove it"
        if any(key in (*_CONTROL_PLANE, _NODE) for key in _wanted_labels(pod)):
            yield f"{path or 'spec'} wants one node, or those of the control plane; select nodes by another label"


def _wanted_labels(pod: Manifest) -> Iterator[str]:
    """Yield the labels of nodes that a pod wants, or would rather have."""
    yield from at(pod, "nodeSelector", {})
    affinity = at(pod, "affinity.nodeAffinity", {})
    terms = [*at(affinity, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", [])]
    preferred = at(affinity, "preferredDuringSchedulingIgnoredDuringExecution", [])
    for term in (*terms, *(at(each, "preference", {}) for each in preferred)):
        yield from (_NODE for _name in at(term, "matchFields", []))
        for each in at(term, "matchExpressions", []):
            if at(each, "operator") not in ("NotIn", "DoesNotExist"):
                yield at(each, "key", "")


POD_RULES = (
    Rule(
        name="pod-read-only",
        description="Containers cannot change their image's files.",
        why="Who gets a shell in the container cannot leave a tool or change the program that runs next.",
        box="authorization",
        controls=(
            "cis:5.6.3",
            "nsa:C-0017",
            "checkov:CKV_K8S_22",
            "trivy:KSV-0014",
            "kube-score:container-security-context-readonlyrootfilesystem",
        ),
        about=has_pods,
        severity="high",
        check=_read_only,
        admission=Admission(
            expressions=(
                "variables.containers.all(each, each.?securityContext.?readOnlyRootFilesystem.orValue(false))",
            ),
        ),
    ),
    Rule(
        name="pod-bounded-scratch",
        description="A folder that lives as long as its pod has a size limit.",
        why="One pod that fills the node's disk has its neighbours evicted.",
        box="recovery",
        about=has_pods,
        severity="medium",
        check=_bounded_scratch,
    ),
    Rule(
        name="pod-bounded-memory",
        description="Containers have a memory limit.",
        why="One container that takes all memory has its neighbours killed.",
        box="ddos-protection",
        controls=("nsa:C-0271", "checkov:CKV_K8S_13", "trivy:KSV-0018", "kube-score:container-resources"),
        about=has_pods,
        severity="medium",
        check=_bounded_memory,
    ),
    Rule(
        name="pod-unprivileged-ports",
        description="Containers serve on ports from 1024 up.",
        why="A lower one takes root or a capability to open; and one of them is where people log in by ssh.",
        box="authorization",
        controls=("trivy:KSV-0117",),
        about=has_pods,
        severity="medium",
        check=_free_ports,
    ),
    Rule(
        name="pod-not-interactive",
        description="No container waits for input, and none is there for debugging.",
        why="A terminal in a container is how an intruder works, and what is typed there is in nobody's review.",
        box="authorization",
        about=has_pods,
        severity="medium",
        check=_interactive,
    ),
    Rule(
        name="pod-as-built",
        description="Containers start what their image holds, with the rights that they have.",
        why="What is fetched as a container starts was never reviewed or scanned, and is whatever its server sends that day.",
        box="vulnerability-scanning",
        controls=("kubescape:C-0062", "checkov:CKV_K8S_159"),
        about=has_pods,
        severity="medium",
        check=_as_built,
    ),
    Rule(
        name="pod-own-processes",
        description="The containers of a pod do not see each other's processes.",
        why="Through a shared /proc the sidecar reads the environment and the files of the container beside it.",
        box="authorization",
        about=has_pods,
        severity="medium",
        check=_own_processes,
    ),
    Rule(
        name="pod-names-from-dns",
        description="Pods take names from DNS only.",
        why="An entry in /etc/hosts sends a name, the database's for one, to another address, and no log shows it.",
        box="network-segmentation",
        controls=("trivy:KSV-0007",),
        about=has_pods,
        severity="low",
        check=_own_names,
    ),
    Rule(
        name="pod-no-service-links",
        description="Pods are not told of every Service in their environment.",
        why="It hands an intruder a map of the namespace, and a Service's name is misread as a program's setting.",
        box="authorization",
        about=has_pods,
        severity="low",
        check=_service_links,
    ),
    Rule(
        name="pod-replaced",
        description="Pods are made by what replaces them and rolls them out.",
        why="A pod that nothing owns is gone with its node, and is left as it is by every update.",
        box="recovery",
        controls=("kubescape:C-0073",),
        about=kinds("Pod", "ReplicaSet", "ReplicationController"),
        severity="medium",
        check=_kept,
    ),
    Rule(
        name="pod-off-control-plane",
        description="Pods neither run beside the control plane nor choose their node.",
        why="Who breaks out of a container there has the keys of the cluster on the disk.",
        box="network-segmentation",
        about=has_pods,
        severity="medium",
        check=_placed,
    ),
)
