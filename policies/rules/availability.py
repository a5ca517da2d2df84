"""What keeps enough pods of a workload: their number, their autoscaler, their disruption budget."""

from collections.abc import Iterator, Sequence

from policies.quantities import share
from policies.recovery import recovering
from policies.rule import Manifest, Rule, StackRule, at, kinds, namespace_of
from policies.workloads import Workload, lasts, least, scales, selects, serving, workloads

_COMPONENT = "app.kubernetes.io/component"
# What a user's request goes through, and what its work is done by. What holds data has rules of its own, and what they do
# without, a cache or an exporter, may be one pod.
_TIERS = ("edge", "frontend", "api", "worker", "scheduler")
_SCALED = ("Deployment", "StatefulSet")
_COUNTED = (*_SCALED, "ReplicaSet", "ReplicationController", "Prometheus", "Alertmanager")
_SUSPENDED = ("CronJob", "Job")


def _serves_users(manifest: Manifest) -> bool:
    return at(manifest, "kind") in _SCALED and at(manifest, "metadata.labels", {}).get(_COMPONENT) in _TIERS


def _runs(manifest: Manifest) -> Iterator[str]:
    kind = at(manifest, "kind")
    if kind in _COUNTED and at(manifest, "spec.replicas", 1) == 0:
        yield "spec.replicas switches it off; set how many it takes, or take it out of the program"
    # One for recovery may wait for a person, and has a rule of its own.
    if kind in _SUSPENDED and at(manifest, "spec.suspend") and not recovering(manifest):
        yield "spec.suspend switches it off; take it away, or take it out of the program"


def _replicas(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if _serves_users(manifest) and least(manifests, manifest) <= 1:
            yield (
                manifest,
                "spec.replicas may be one pod, whose node may go; set 2 or more, or its autoscaler's minReplicas",
            )


def _autoscaled(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    scaled = [workload for workload in workloads(manifests) if workload.kind in _SCALED]
    scalers = [manifest for manifest in manifests if at(manifest, "kind") == "HorizontalPodAutoscaler"]
    for scaler in scalers:
        if at(scaler, "spec.minReplicas", 1) >= at(scaler, "spec.maxReplicas", 1):
            yield scaler, "spec.maxReplicas leaves nothing to scale to; set more than minReplicas"
        targets = [workload for workload in scaled if scales(scaler, workload.manifest)]
        if not targets:
            yield scaler, "spec.scaleTargetRef is no workload of the stack; name one"
        for workload in targets:
            if sum(scales(each, workload.manifest) for each in scalers) > 1:
                yield scaler, "spec.scaleTargetRef has another autoscaler too; keep one"
            for message in _unmeasured(scaler, workload):
                yield scaler, message


def _unmeasured(scaler: Manifest, workload: Workload) -> Iterator[str]:
    for index, metric in enumerate(at(scaler, "spec.metrics", [])):
        what = at(metric, "resource.name")
        if at(metric, "type") == "Resource" and at(metric, "resource.target.type") == "Utilization":
            for container in serving(workload.manifest):
                if not at(container.spec, f"resources.requests.{what}"):
                    yield f"spec.metrics[{index}] is a share of a request that {container.path} does not make; add it"


def _budgeted(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    budgets = [manifest for manifest in manifests if at(manifest, "kind") == "PodDisruptionBudget"]
    lasting = [workload for workload in workloads(manifests) if lasts(workload.manifest)]
    for budget in budgets:
        if not any(_covers(budget, workload) for workload in lasting):
            yield budget, "spec.selector means no pod; give it the labels of a workload in its namespace"
    for workload in lasting:
        if workload.kind in _SCALED:
            pods = least(manifests, workload.manifest)
            found = [budget for budget in budgets if _covers(budget, workload)]
            if len(found) != 1 and (found or pods > 1):
                many = (
                    "more than one PodDisruptionBudget, and no pod can be evicted"
                    if found
                    else "no PodDisruptionBudget"
                )
                yield workload.manifest, f"{workload.path} has {many}; give it one"
            for budget in found:
                if _allowed(budget, pods) < 1:
                    yield budget, "spec allows no disruption, so no node can be drained; set maxUnavailable: 1"


def _covers(budget: Manifest, workload: Workload) -> bool:
    return namespace_of(budget) == workload.namespace and selects(at(budget, "spec.selector"), workload.labels)


def _allowed(budget: Manifest, pods: int) -> int:
    """Return how many of this many pods may be evicted."""
    unavailable = at(budget, "spec.maxUnavailable")
    if unavailable is not None:
        return share(unavailable, pods, up=True)
    return pods - share(at(budget, "spec.minAvailable", 0), pods, up=True)


AVAILABILITY_RULES: tuple[Rule | StackRule, ...] = (
    Rule(
        name="workload-switched-on",
        description="What the program has, runs: nothing has no replicas, and no job is suspended.",
        why="A shipper, a scanner or a responder that was switched off for an hour looks complete in every list, and does nothing.",
        box="recovery",
        severity="high",
        about=kinds(*_COUNTED, *_SUSPENDED),
        check=_runs,
    ),
    StackRule(
        name="workload-replicas",
        description="What users wait for runs on two pods at least.",
        why="With one pod, a lost node or an eviction is an outage until another one has started elsewhere.",
        box="recovery",
        severity="medium",
        controls=("kube-score:deployment-replicas",),
        about=_serves_users,
        check=_replicas,
    ),
    StackRule(
        name="workload-autoscaler",
        description="An autoscaler scales one workload, which no other does, within bounds and by what can be measured.",
        why="One that scales nothing is found out under the first load; two of one workload undo what the other did, again and again.",
        box="recovery",
        severity="medium",
        controls=(
            "kube-linter:dangling-horizontalpodautoscaler",
            "kube-score:horizontalpodautoscaler-has-target",
            "kubescape:C-0300",
        ),
        about=kinds("HorizontalPodAutoscaler"),
        check=_autoscaled,
    ),
    StackRule(
        name="workload-disruption-budget",
        description="A workload of several pods has one disruption budget, which lets one pod go.",
        why="Without one a drain takes all pods at once; one that allows nothing, or two of them, keep a node from being patched.",
        box="recovery",
        severity="medium",
        controls=(
            "kube-linter:pdb-max-unavailable",
            "kube-linter:pdb-min-available",
            "kube-score:deployment-has-poddisruptionbudget",
            "kube-score:statefulset-has-poddisruptionbudget",
        ),
        about=kinds("Deployment", "StatefulSet", "PodDisruptionBudget"),
        check=_budgeted,
    ),
)
