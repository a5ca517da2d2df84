"""Network segmentation: what no policy allows is refused, in every namespace and both ways."""

from collections.abc import Iterator, Sequence

from policies.containers import containers, has_pods
from policies.rule import Manifest, StackRule, at

_WAYS = {"Ingress": "ingress", "Egress": "egress"}


def _denied(policy: Manifest) -> set[str]:
    """Return the ways in which a policy isolates all pods of its namespace and allows nothing."""
    if any(at(policy, f"spec.podSelector.{part}") for part in ("matchLabels", "matchExpressions")):
        return set()
    ways = at(policy, "spec.policyTypes") or ["Ingress", *(["Egress"] if at(policy, "spec.egress") else [])]
    return {way for way in _WAYS if way in ways and not at(policy, f"spec.{_WAYS[way]}")}


def _default_deny(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    denied: dict[str, set[str]] = {}
    for manifest in manifests:
        if at(manifest, "kind") == "NetworkPolicy":
            denied.setdefault(at(manifest, "metadata.namespace", "default"), set()).update(_denied(manifest))
    for manifest in manifests:
        if any(containers(manifest)):
            for way in sorted(_WAYS.keys() - denied.get(at(manifest, "metadata.namespace", "default"), set())):
                fix = f"add one with podSelector: {{}}, policyTypes: [{way}] and no {_WAYS[way]}"
                yield manifest, f"metadata.namespace has no NetworkPolicy that refuses all {way}; {fix}"


NETWORK_RULES = (
    StackRule(
        name="network-default-deny",
        description="A namespace with pods refuses what no policy allows.",
        why="Without it every pod reaches every other: one that is taken over reaches the database.",
        box="internal-firewall",
        controls=("cis:5.3.2", "nsa:C-0260"),
        about=has_pods,
        severity="critical",
        check=_default_deny,
    ),
)
