"""What each workload says of itself, so that it gets what it needs, takes no more, and is found ill."""

from collections.abc import Iterator

from policies.containers import containers, has_pods, pods
from policies.quantities import quantity
from policies.rule import Manifest, Rule, at, kinds
from policies.workloads import lasts, selects, serving, workloads

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_SELECTING = kinds("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")


def _requests(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        for what in ("cpu", "memory"):
            # Where only a limit is given, it is what is requested.
            given = at(container.spec, f"resources.requests.{what}", at(container.spec, f"resources.limits.{what}", 0))
            if quantity(given) <= 0:
                yield f"{container.path} asks for no {what}; set resources.requests.{what}"


def _storage(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if quantity(at(container.spec, "resources.limits.ephemeral-storage", 0)) <= 0:
            yield f"{container.path} may fill the node's disk; set resources.limits.ephemeral-storage"
    for path, pod in pods(manifest):
        for index, volume in enumerate(at(pod, "volumes", [])):
            if "emptyDir" in volume and quantity(at(volume, "emptyDir.sizeLimit", 0)) <= 0:
                yield f"{path}.volumes[{index}].emptyDir may fill the node's disk; set sizeLimit"


def _environment(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        names = [at(variable, "name") for variable in at(container.spec, "env", [])]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield f"{container.path}.env says {name} more than once; remove all but one"


def _probed(manifest: Manifest) -> Iterator[str]:
    (path, _pod), found = next(pods(manifest)), list(serving(manifest))
    for probe in ("readinessProbe", "livenessProbe"):
        if not any(at(container.spec, probe) for container in found):
            yield f"{path}.containers have no {probe}; add one to the container that the pod is there for"


def _patient(manifest: Manifest) -> Iterator[str]:
    for container in serving(manifest):
        ready, alive = (at(container.spec, probe) for probe in ("readinessProbe", "livenessProbe"))
        if ready and alive and _seconds(alive) <= _seconds(ready):
            yield f"{container.path}.livenessProbe fails no later than readiness; raise its failureThreshold"


def _seconds(probe: Manifest) -> int:
    return int(at(probe, "periodSeconds", 10)) * int(at(probe, "failureThreshold", 3))


def _probe_port(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        ports = at(container.spec, "ports", [])
        declared = [str(at(port, key, "")) for port in ports for key in ("containerPort", "name")]
        for probe in _PROBES:
            for way in ("httpGet", "tcpSocket", "grpc"):
                port = at(container.spec, f"{probe}.{way}.port")
                if port is not None and str(port) not in declared:
                    yield f"{container.path}.{probe} asks a port that is not declared; name one of ports"


def _own_pods(manifest: Manifest) -> Iterator[str]:
    selector = at(manifest, "spec.selector", {})
    for workload in workloads([manifest]):
        parts = ("matchLabels", "matchExpressions")
        if not any(at(selector, part) for part in parts) or not selects(selector, workload.labels):
            yield "spec.selector does not mean the pods of the template; give it labels that the template has"


def _selecting(manifest: Manifest) -> bool:
    return _SELECTING(manifest) and at(manifest, "spec.selector") is not None


RELIABILITY_RULES = (
    Rule(
        name="workload-requests",
        description="Containers say how much processor and memory they need.",
        why="The scheduler fills a node with pods that ask for nothing; under load all of them are slow, and the first is killed.",
        box="recovery",
        severity="medium",
        controls=(
            "checkov:CKV_K8S_10",
            "checkov:CKV_K8S_12",
            "trivy:KSV-0015",
            "trivy:KSV-0016",
            "kubescape:C-0268",
            "kubescape:C-0269",
            "kube-score:container-resources",
        ),
        about=has_pods,
        check=_requests,
    ),
    Rule(
        name="workload-bounded-storage",
        description="What a pod writes beside its volumes is limited.",
        why="A pod that writes without end fills the node's disk, and the kubelet evicts its neighbours.",
        box="recovery",
        severity="low",
        controls=("kube-score:container-ephemeral-storage-request-and-limit",),
        about=has_pods,
        check=_storage,
    ),
    Rule(
        name="workload-environment-once",
        description="A container's variable has one value.",
        why="Of two values the last one wins: who reads the first, or merges the list, believes in another setting.",
        box="recovery",
        severity="low",
        controls=(
            "kubescape:C-0295",
            "kube-linter:duplicate-env-var",
            "kube-score:environment-variable-key-duplication",
        ),
        about=has_pods,
        check=_environment,
    ),
    Rule(
        name="workload-probes",
        description="A pod that is there to stay is asked whether it can serve and whether it lives.",
        why="One that hangs keeps its share of the requests, and nobody restarts it.",
        box="recovery",
        severity="medium",
        controls=("checkov:CKV_K8S_8", "checkov:CKV_K8S_9", "kubescape:C-0018", "kubescape:C-0056"),
        about=lasts,
        check=_probed,
    ),
    Rule(
        name="workload-patient-liveness",
        description="A container is taken out of service before it is restarted.",
        why="Under load both probes fail: restarts take away what capacity there is, and the rest fails too.",
        box="recovery",
        severity="medium",
        about=lasts,
        check=_patient,
    ),
    Rule(
        name="workload-probe-port",
        description="Probes ask a port that their container declares.",
        why="A probe of the wrong port fails for ever, and the kubelet restarts a healthy container again and again.",
        box="recovery",
        severity="low",
        controls=("kube-linter:liveness-port", "kube-linter:readiness-port", "kube-linter:startup-port"),
        about=has_pods,
        check=_probe_port,
    ),
    Rule(
        name="workload-selector",
        description="A workload's selector means the pods of its own template.",
        why="The API server refuses one that does not, in the middle of an update; an empty one would adopt what is not its own.",
        box="recovery",
        severity="medium",
        controls=("kubescape:C-0296", "kube-linter:mismatching-selector"),
        about=_selecting,
        check=_own_pods,
    ),
)
