"""How a workload is replaced, ends, and is spread: an update or a lost node takes no more than one pod of it."""

from collections.abc import Iterator
from typing import Any

from policies.quantities import share
from policies.rule import Manifest, Rule, at, kinds
from policies.workloads import LASTING, selects, workloads

_SPREAD = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
_FEWEST_REVISIONS = 3
_SHORTEST_DEADLINE = 10  # the controller looks every 10 s, and one that is shorter may never be met
_TERMS = {
    "requiredDuringSchedulingIgnoredDuringExecution": "",
    "preferredDuringSchedulingIgnoredDuringExecution": "podAffinityTerm",
}


def _rolling(manifest: Manifest) -> Iterator[str]:
    deployment = at(manifest, "kind") == "Deployment"
    key = "spec.strategy" if deployment else "spec.updateStrategy"
    if at(manifest, f"{key}.type", "RollingUpdate") != "RollingUpdate":
        yield f"{key} stops all pods, or waits for a person; set type: RollingUpdate"
    if at(manifest, "spec.paused") or at(manifest, f"{key}.rollingUpdate.partition", 0):
        yield f"{key} leaves pods of the old version; remove paused and partition"
    unavailable = at(manifest, f"{key}.rollingUpdate.maxUnavailable")
    whole = 1 if at(manifest, "kind") == "DaemonSet" else int(at(manifest, "spec.replicas", 1))
    if unavailable is not None and share(unavailable, whole, up=False) >= max(whole, 1):
        yield f"{key}.rollingUpdate.maxUnavailable is all pods; set fewer than there are"


def _rollback(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "spec.revisionHistoryLimit", _FEWEST_REVISIONS) < _FEWEST_REVISIONS:
        yield f"spec.revisionHistoryLimit leaves nothing to go back to; set {_FEWEST_REVISIONS} or more"


def _awaited(manifest: Manifest) -> Iterator[str]:
    annotations = at(manifest, "metadata.annotations", {})
    for annotation in ("pulumi.com/skipAwait", "pulumi.com/patchForce"):
        if annotations.get(annotation, "false") not in ("false", False, None):
            yield f"metadata.annotations[{annotation}] hides what fails; remove it"


def _ends(manifest: Manifest) -> Iterator[str]:
    periodic = at(manifest, "kind") == "CronJob"
    job = "spec.jobTemplate.spec" if periodic else "spec"
    if at(manifest, f"{job}.activeDeadlineSeconds", 0) <= 0:
        yield f"{job} may run for ever; set activeDeadlineSeconds"
    if periodic and at(manifest, "spec.concurrencyPolicy", "Allow") not in ("Forbid", "Replace"):
        yield "spec.concurrencyPolicy lets runs pile up; set Forbid or Replace"
    if periodic and at(manifest, "spec.startingDeadlineSeconds", 0) < _SHORTEST_DEADLINE:
        yield f"spec.startingDeadlineSeconds may skip a run, or all once 100 were missed; set {_SHORTEST_DEADLINE} or more"


def _spread(manifest: Manifest) -> Iterator[str]:
    for workload in workloads([manifest]):
        places = {
            at(each, "topologyKey")
            for each in [*at(workload.pod, "topologySpreadConstraints", []), *_apart(workload.pod)]
            if selects(each.get("labelSelector"), workload.labels)
        }
        for place in _SPREAD:
            if place not in places:
                yield f"{workload.path} may have all pods in one {place}; add a topologySpreadConstraint of its own labels"


def _apart(pod: Manifest) -> Iterator[Any]:
    for sort, inner in _TERMS.items():
        for term in at(pod, f"affinity.podAntiAffinity.{sort}", []):
            yield at(term, inner, {}) if inner else term


ROLLOUT_RULES = (
    Rule(
        name="workload-rolling-update",
        description="An update replaces some pods at a time, all of them in the end, and by itself.",
        why="One that stops all pods first is an outage each time; one that waits for a person leaves the old, vulnerable version.",
        box="recovery",
        severity="medium",
        controls=("kube-linter:no-rolling-update-strategy", "kube-score:deployment-strategy", "kubescape:C-0305"),
        about=kinds("Deployment", "StatefulSet", "DaemonSet"),
        check=_rolling,
    ),
    Rule(
        name="workload-rollback",
        description="The versions before the last one are kept to go back to.",
        why="When the new version fails at night, what was there before has to be put together by hand.",
        box="recovery",
        severity="low",
        about=kinds("Deployment", "StatefulSet", "DaemonSet"),
        check=_rollback,
    ),
    Rule(
        name="workload-awaited",
        description="An update succeeds only when the pods of the new version serve, and takes no field from another owner by force.",
        why="A run that does not wait says that all is well while no pod starts.",
        box="recovery",
        severity="medium",
        about=kinds(*LASTING, "Job"),
        check=_awaited,
    ),
    Rule(
        name="workload-job-bounds",
        description="A Job ends in bounded time, and its runs do not pile up.",
        why="A Job that hangs keeps its memory and its connections, and each night adds another.",
        box="recovery",
        severity="low",
        controls=("kube-score:cronjob-has-deadline",),
        about=kinds("Job", "CronJob"),
        check=_ends,
    ),
    Rule(
        name="workload-spread",
        description="A workload's pods are spread over zones and nodes.",
        why="All replicas on one node are lost with it, however many there are.",
        box="recovery",
        severity="low",
        controls=("kube-score:pod-topology-spread-constraints", "kube-linter:no-anti-affinity"),
        about=kinds("Deployment", "StatefulSet"),
        check=_spread,
    ),
)
