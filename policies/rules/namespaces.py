"""The fences around workloads: each is in a namespace of the stack's own, which admits nothing privileged and has bounds."""

import re
from collections.abc import Iterator, Sequence

from policies.containers import has_pods
from policies.rule import Manifest, Rule, StackRule, at, kinds, namespace_of

_ENFORCED = "pod-security.kubernetes.io"
_OLDEST = 25  # of the minor versions: the first in which the standard was stable
_OF_THE_CLUSTER = ("default", "kube-system", "kube-public", "kube-node-lease")
_BOUNDS = ("pods", "requests.cpu", "requests.memory")
_NAMESPACED = (
    *("ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim", "ResourceQuota", "LimitRange"),
    *("Role", "RoleBinding", "NetworkPolicy", "Ingress", "PodDisruptionBudget", "HorizontalPodAutoscaler"),
    *("Certificate", "Issuer", "Gateway", "HTTPRoute", "GRPCRoute", "ServiceMonitor", "PodMonitor", "PrometheusRule"),
)


def _restricted(manifest: Manifest) -> Iterator[str]:
    labels = at(manifest, "metadata.labels", {})
    for mode in ("enforce", "audit", "warn"):
        if labels.get(f"{_ENFORCED}/{mode}") != "restricted":
            yield f"metadata.labels[{_ENFORCED}/{mode}] admits privileged pods, or hides them; set restricted"
        version = labels.get(f"{_ENFORCED}/{mode}-version", "latest")
        minor = re.fullmatch(r"v1\.(\d+)", version)
        if version != "latest" and not (minor and int(minor[1]) >= _OLDEST):
            yield f"metadata.labels[{_ENFORCED}/{mode}-version] is of a standard with holes; set latest"


def _in_a_namespace(manifest: Manifest) -> bool:
    # The provider writes `default` into an object of a kind that it does not know to be in no namespace.
    return at(manifest, "kind") in _NAMESPACED or has_pods(manifest)


def _own(manifest: Manifest) -> Iterator[str]:
    place = namespace_of(manifest)
    # What extends the cluster may have a role in its namespaces, but nothing runs there.
    if place == "default" or (place in _OF_THE_CLUSTER and has_pods(manifest)):
        yield "metadata.namespace is the cluster's own, without the fences of ours; name a namespace of the stack"


def _declared(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    found = {at(manifest, "metadata.name") for manifest in manifests if at(manifest, "kind") == "Namespace"}
    for manifest in manifests:
        if has_pods(manifest) and namespace_of(manifest) not in found:
            yield (
                manifest,
                "metadata.namespace is none that the stack makes, so nothing is known of it; name one that it makes",
            )


def _bounded(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    hard: dict[str, set[str]] = {}
    limited = set[str]()
    for manifest in manifests:
        kind = at(manifest, "kind")
        if kind == "ResourceQuota" and not at(manifest, "spec.scopes") and not at(manifest, "spec.scopeSelector"):
            bounds = {what for what, bound in at(manifest, "spec.hard", {}).items() if bound not in (None, "")}
            hard.setdefault(namespace_of(manifest), set()).update(bounds)
        if kind == "LimitRange" and _limits_containers(manifest):
            limited.add(namespace_of(manifest))
    for manifest in manifests:
        if at(manifest, "kind") == "Namespace":
            name = at(manifest, "metadata.name", "")
            for what in _BOUNDS:
                if what not in hard.get(name, ()):
                    yield manifest, f"metadata.name has no bound on {what}; add a ResourceQuota with it"
            if name not in limited:
                yield (
                    manifest,
                    "metadata.name lets a container go without a limit; add a LimitRange with a default memory",
                )


def _limits_containers(manifest: Manifest) -> bool:
    limits = at(manifest, "spec.limits", [])
    return any(at(each, "type") == "Container" and at(each, "default.memory") for each in limits)


NAMESPACE_RULES = (
    Rule(
        name="namespace-pod-security",
        description="A namespace enforces the *restricted* Pod Security Standard.",
        why="What this pack never sees, as a pod that somebody creates by hand, is refused by the cluster only then.",
        box="network-segmentation",
        severity="high",
        controls=("cis:5.2.1", "kyverno:add-psa-labels"),
        about=kinds("Namespace"),
        check=_restricted,
    ),
    Rule(
        name="namespace-of-its-own",
        description="Nothing is in the default namespace, and no pod in one of the cluster's.",
        why="There nothing is denied and nothing bounded; beside the cluster's own parts a pod reaches their accounts.",
        box="network-segmentation",
        severity="medium",
        controls=("cis:5.6.4", "checkov:CKV_K8S_21", "trivy:KSV-0037", "trivy:KSV-0110", "kubescape:C-0061"),
        about=_in_a_namespace,
        check=_own,
    ),
    StackRule(
        name="namespace-declared",
        description="A stack that makes namespaces runs its pods in those.",
        why="In a namespace that somebody else made, nobody can say what else runs there, or what it denies.",
        box="network-segmentation",
        severity="medium",
        controls=("cis:5.6.1",),
        about=kinds("Namespace"),
        check=_declared,
    ),
    StackRule(
        name="namespace-bounded",
        description="A namespace has a quota, and a limit for containers that name none.",
        why="One tier that is flooded, or taken over, takes all of the cluster from the others.",
        box="network-segmentation",
        severity="medium",
        controls=("trivy:KSV-0039", "trivy:KSV-0040"),
        about=kinds("Namespace"),
        check=_bounded,
    ),
)
