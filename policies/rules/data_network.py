"""Who reaches the servers that keep data: the clients that are declared, and nobody from outside."""

from collections.abc import Iterator, Sequence

from policies.published import facing, routed
from policies.reachability import Network
from policies.rule import Manifest, StackRule
from policies.running import Pod, running
from policies.tiers import TIERS

_FILE = "policies/tiers.yaml"


def _keeps_data(pod: Pod) -> bool:
    return pod.workload in TIERS.servers or (pod.namespace in TIERS.behind and bool(pod.ports))


def _about(manifest: Manifest) -> bool:
    return any(_keeps_data(pod) for pod in running(manifest))


def _clients(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    there = {pod.workload for pod in network.pods}
    found: dict[str, set[str]] = {}
    for pod in network.pods:
        if _keeps_data(pod) and pod.workload not in TIERS.servers:
            yield pod.manifest, f"metadata.labels name a server without clients in {_FILE}; declare who reaches it"
    for edge in network.edges:
        if edge.target.workload in TIERS.servers:
            found.setdefault(edge.target.workload, set()).add(edge.source.workload)
            if edge.source.workload not in TIERS.servers[edge.target.workload]:
                what = f"metadata.labels let {edge.source.workload} in, which is no declared client"
                yield edge.target.manifest, f"{what}; close it in their NetworkPolicies, or declare it in {_FILE}"
    for pod in network.pods:
        for client in sorted(TIERS.servers.get(pod.workload, frozenset()) & there - found.get(pod.workload, set())):
            fix = f"open it on both sides, or take it out of {_FILE}"
            yield pod.manifest, f"metadata.labels keep {client} out, which is a declared client; {fix}"


def _not_published(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    outside = [*facing(network, manifests), *routed(network, manifests)]
    for pod in network.pods:
        if not _keeps_data(pod):
            continue
        if pod in outside:
            yield pod.manifest, "metadata.labels have a Service or a route from outside; leave it inside the cluster"
        rules = network.rules(pod, "ingress")
        if rules is None or any(
            rule.peers is None or any(peer.block is not None for peer in rule.peers) for rule in rules
        ):
            yield pod.manifest, "metadata.labels let in whoever has an address; let in pods by their labels"


DATA_NETWORK_RULES = (
    StackRule(
        name="database-clients-declared",
        description="Whatever keeps data is reached by the workloads that are declared its clients, and by all of those.",
        why="A password that leaks is worth nothing to whoever cannot reach the database.",
        box="database-security",
        controls=("cis:5.3.2",),
        about=_about,
        severity="critical",
        check=_clients,
    ),
    StackRule(
        name="database-not-published",
        description="Nothing that keeps data answers anybody outside the cluster.",
        why="A database that the Internet sees is tried within minutes, with every password that ever leaked.",
        box="database-security",
        controls=("kubescape:C-0256", "kubescape:C-0266"),
        about=_about,
        severity="critical",
        check=_not_published,
    ),
)
