"""The firewall between pods: what no policy allows is refused, and each policy allows just what it says by name."""

from collections.abc import Iterator, Sequence

from policies.containers import containers, has_pods
from policies.network_policies import Rule, Way
from policies.published import facing
from policies.ranges import EVERYWHERE, METADATA, PRIVATE, Ranges
from policies.reachability import Network
from policies.rule import Manifest, StackRule, at, kinds, namespace_of
from policies.running import Pod

_WAYS = {"Ingress": "ingress", "Egress": "egress"}
BOTH: tuple[Way, Way] = ("ingress", "egress")


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
            denied.setdefault(namespace_of(manifest), set()).update(_denied(manifest))
    for manifest in manifests:
        if any(containers(manifest)):
            for way in sorted(_WAYS.keys() - denied.get(namespace_of(manifest), set())):
                fix = f"add one with podSelector: {{}}, policyTypes: [{way}] and no {_WAYS[way]}"
                yield manifest, f"metadata.namespace has no NetworkPolicy that refuses all {way}; {fix}"


def _isolated(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    for pod in network.pods:
        if pod.host_network:
            yield pod.manifest, "hostNetwork puts the pod where no NetworkPolicy holds; leave it out"
        else:
            for way in BOTH:
                if network.rules(pod, way) is None:
                    yield pod.manifest, f"metadata.labels are selected by no NetworkPolicy for {way}; add one"


def _live(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    there = {pod.namespace for pod in network.pods}
    for namespace, policies in network.policies.items():
        for policy in policies if namespace in there else ():
            subjects = [pod for pod in network.pods if pod.namespace == namespace and policy.selects(pod.labels)]
            if not subjects:
                yield policy.manifest, "spec.podSelector selects no pod; correct it, or remove the policy"
                continue
            for way in policy.rules:
                for index, rule in enumerate(policy.rules[way]):
                    for dead in _dead(network, subjects, way, rule, there):
                        yield (
                            policy.manifest,
                            f"spec.{way}[{index}]{dead}; correct it, open the other side, or remove it",
                        )


def _dead(network: Network, subjects: Sequence[Pod], way: Way, rule: Rule, there: set[str]) -> Iterator[str]:
    """Yield each peer that opens nothing: no pod is selected, or all that are refuse it."""
    for index, peer in enumerate(rule.peers or ()):
        if peer.block is not None or peer.names is None or not peer.names <= there:
            continue  # addresses, and namespaces that are not of this program: what is there cannot be told
        others = [pod for pod in network.pods if network.admits(peer, pod)]
        pairs = [(one, other) if way == "egress" else (other, one) for one in subjects for other in others]
        if not any(rule.ports.on(target) & network.opened(source, target) for source, target in pairs):
            yield f".{'to' if way == 'egress' else 'from'}[{index}] opens nothing"


def blocks(network: Network, pod: Pod) -> Iterator[tuple[Ranges, bool, Rule | None]]:
    """Yield the addresses that a pod may open connections to, whether it is a single one, and the rule that has it so."""
    rules = network.rules(pod, "egress")
    if rules is None:
        yield EVERYWHERE, False, None
    for rule in rules or ():
        if rule.peers is None:
            yield EVERYWHERE, False, rule
        for peer in rule.peers or ():
            if peer.block is not None:
                yield peer.block, peer.single, rule


def _metadata(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    for pod in network.pods:
        if any(block & METADATA for block, _single, _rule in blocks(network, pod)):
            fix = "except the addresses of every cloud's metadata from the ipBlock of its NetworkPolicies"
            yield pod.manifest, f"metadata.labels let the pod reach a cloud's metadata; {fix}"


def _private(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    for pod in network.pods:
        if any(block & PRIVATE for block, single, _rule in blocks(network, pod) if not single):
            fix = "select pods by their labels, name single addresses, or except private ones from the ipBlock"
            yield pod.manifest, f"metadata.labels let the pod reach private addresses of all sorts; {fix}"


def _served(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    faces = facing(network, manifests)
    for pod in network.pods:
        for rule in network.rules(pod, "ingress") or ():
            if pod not in faces and (rule.peers is None or any(peer.block is not None for peer in rule.peers)):
                fix = "open it to pods by their labels"
                yield pod.manifest, f"metadata.labels open the pod to addresses, and no Service of it is outside; {fix}"


NETWORK_RULES = (
    StackRule(
        name="network-default-deny",
        description="A namespace with pods refuses what no policy allows.",
        why="Without it every pod reaches every other: one that is taken over reaches the database.",
        box="internal-firewall",
        controls=("cis:5.3.2", "nsa:C-0030", "nsa:C-0054", "kubescape:C-0260"),
        about=has_pods,
        severity="critical",
        check=_default_deny,
    ),
    StackRule(
        name="network-pods-isolated",
        description="Every pod is held by a policy of its own namespace, in and out.",
        why="Policies add up from nothing: a pod that none selects is open to all, and one in its node's network cannot be held.",
        box="internal-firewall",
        controls=("cis:5.3.2", "nsa:C-0030", "nsa:C-0054", "checkov:CKV2_K8S_6", "kubescape:C-0260"),
        about=has_pods,
        severity="high",
        check=_isolated,
    ),
    StackRule(
        name="network-policies-live",
        description="Every policy selects a pod, and each of its peers is one that it opens something to, on both sides.",
        why="A policy that selects nothing looks like protection, and opens a way the day that something is given its label.",
        box="internal-firewall",
        controls=("kubescape:C-0299",),
        about=kinds("NetworkPolicy"),
        severity="medium",
        check=_live,
    ),
    StackRule(
        name="network-metadata-closed",
        description="No pod reaches an address at which a cloud gives a machine its credentials.",
        why="One request that a server is tricked into is enough to act as the node in the cloud's own interface.",
        box="internal-firewall",
        controls=("kubescape:C-0052",),
        about=has_pods,
        severity="high",
        check=_metadata,
    ),
    StackRule(
        name="network-private-addresses-closed",
        description="No pod reaches private addresses but pods by their labels and single machines, however a range is cut.",
        why="A range of the cluster's own addresses is every pod, every kubelet and every database at once, past all labels.",
        box="internal-firewall",
        about=has_pods,
        severity="high",
        check=_private,
    ),
    StackRule(
        name="network-outside-served",
        description="Only a pod behind a Service that is open to the outside lets addresses in.",
        why="Nobody outside has business with the others: an opening left behind waits for whoever gets onto the network.",
        box="internal-firewall",
        controls=("kubescape:C-0256",),
        about=kinds("NetworkPolicy"),
        severity="high",
        check=_served,
    ),
)
