"""What a Service sends to: pods of one workload, at a port of theirs, that say when they can serve and when they stop."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.backends import sends_to
from policies.containers import Container
from policies.rule import Manifest, StackRule, at, kinds, namespace_of
from policies.workloads import Workload, serving, workloads

_USUAL_GRACE = 30


def _selecting(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "Service" and bool(at(manifest, "spec.selector", {}))


def _one_workload(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for service in manifests:
        if _selecting(service):
            found = [workload for workload in workloads(manifests) if sends_to(service, workload)]
            if len(found) != 1:
                yield service, f"spec.selector means pods of {len(found)} workloads; give it the labels of one"
            elif not all(_ports(port, found[0]) for port in at(service, "spec.ports", [])):
                yield service, "spec.ports sends to a port that no container declares; name one that is there"


def _ports(port: Manifest, workload: Workload) -> list[Container]:
    """Return the containers that serve at a port of a Service."""
    target = at(port, "targetPort", at(port, "port"))
    found = serving(workload.manifest)
    return [each for each in found if any(_is(target, declared) for declared in at(each.spec, "ports", []))]


def _is(target: Any, declared: Manifest) -> bool:
    return target == at(declared, "name") or str(target) == str(at(declared, "containerPort", ""))


def _served(manifests: Sequence[Manifest]) -> Iterator[tuple[Workload, Container]]:
    """Yield once each container that any Service sends to."""
    seen = set[tuple[int, str]]()
    services = [manifest for manifest in manifests if _selecting(manifest)]
    for workload in workloads(manifests):
        for service in services:
            if sends_to(service, workload):
                for port in at(service, "spec.ports", []):
                    for container in _ports(port, workload):
                        if (id(workload.manifest), container.path) not in seen:
                            seen.add((id(workload.manifest), container.path))
                            yield workload, container


def _probed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for workload, container in _served(manifests):
        if not at(container.spec, "readinessProbe"):
            yield workload.manifest, f"{container.path} gets requests before it can serve; add a readinessProbe"


def _drained(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for workload, container in _served(manifests):
        pause = at(container.spec, "lifecycle.preStop", {})
        if not pause:
            yield workload.manifest, f"{container.path} stops while it still gets requests; add lifecycle.preStop.sleep"
        elif at(pause, "sleep.seconds", 0) >= at(workload.pod, "terminationGracePeriodSeconds", _USUAL_GRACE):
            yield workload.manifest, f"{workload.path}.terminationGracePeriodSeconds ends within preStop; set more"


def _named_pods(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for workload in workloads(manifests):
        if workload.kind == "StatefulSet":
            wanted = (workload.namespace, at(workload.manifest, "spec.serviceName", ""))
            if not any(_headless(service, wanted, workload) for service in manifests):
                yield (
                    workload.manifest,
                    "spec.serviceName is no headless Service of its pods; name one with clusterIP: None",
                )


def _headless(service: Manifest, wanted: tuple[str, str], workload: Workload) -> bool:
    if at(service, "kind") != "Service" or (namespace_of(service), at(service, "metadata.name", "")) != wanted:
        return False
    return at(service, "spec.clusterIP") == "None" and sends_to(service, workload)


SERVICE_RULES = (
    StackRule(
        name="service-selector",
        description="A Service sends to pods of one workload, at ports that they declare.",
        why="One that means nothing is an outage; one that means two workloads sends requests, and their secrets, to the wrong one.",
        box="recovery",
        severity="medium",
        controls=(
            "kubescape:C-0293",
            "kube-linter:dangling-service",
            "kube-score:service-targets-pod",
            "gatekeeper:uniqueserviceselector",
        ),
        about=_selecting,
        check=_one_workload,
    ),
    StackRule(
        name="service-probed",
        description="A container that a Service sends to says when it can serve.",
        why="Each update and each restart sends requests to a process that does not listen yet.",
        box="recovery",
        severity="medium",
        controls=("checkov:CKV_K8S_9", "kubescape:C-0018", "kube-score:pod-probes"),
        about=_selecting,
        check=_probed,
    ),
    StackRule(
        name="service-drained",
        description="A container that a Service sends to serves on for a while after it is told to stop.",
        why="The Service still sends to a pod that is going: each update breaks the requests of that moment.",
        box="recovery",
        severity="low",
        about=_selecting,
        check=_drained,
    ),
    StackRule(
        name="service-of-stateful-set",
        description="A StatefulSet's pods have names, by a headless Service that means them.",
        why="Replicas find one another by these names; without them the database does not come back after a restart.",
        box="recovery",
        severity="medium",
        controls=("kube-score:statefulset-has-servicename",),
        about=kinds("StatefulSet"),
        check=_named_pods,
    ),
)
