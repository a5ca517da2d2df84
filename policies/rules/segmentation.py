"""Network segmentation: the tiers reach each other as `tiers.yaml` declares it, no more and no less."""

from collections.abc import Iterator, Sequence

from policies.containers import has_pods
from policies.edge import OPAQUE_ROUTES, ROUTES
from policies.published import facing, on_node, published, routed
from policies.ranges import ALL_PORTS, PRIVATE, Ranges
from policies.reachability import Network
from policies.rule import THE_STACK, Manifest, StackRule, at, kinds
from policies.rules.network import BOTH, blocks
from policies.running import Pod, running
from policies.tiers import OUTSIDE, TIERS

_FILE = "policies/tiers.yaml"
_FIX = f"close it in its NetworkPolicies, or have it declared in {_FILE}"
_NO_PORTS = Ranges()


def _declared(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    for edge in network.edges:
        source, target = edge.source.namespace, edge.target.namespace
        if edge.ports - TIERS.declared(source, target):
            yield edge.source.manifest, f"metadata.labels let the pod reach undeclared ports of {target}; {_FIX}"
    for pod in network.pods:
        for source, target, ports in _abroad(network, pod):
            if ports - TIERS.declared(source, target):
                where = f"from {source}" if target == pod.namespace else f"to {target}"
                yield pod.manifest, f"metadata.labels open the pod {where}, which is not declared; {_FIX}"


def _abroad(network: Network, pod: Pod) -> Iterator[tuple[str, str, Ranges]]:
    """Yield what a pod opens to, and to whom outside the program: the tier on each end, and the ports."""
    there = {each.namespace for each in network.pods}
    for way in BOTH:
        for rule in network.rules(pod, way) or ():
            for peer in rule.peers or ():
                if peer.block is None:
                    names = {"any namespace"} if peer.names is None else peer.names - there
                else:
                    names = {OUTSIDE} if way == "ingress" else set[str]()  # out: network-egress-declared
                for name in names:
                    # What the ports of a server elsewhere are called is not known.
                    ports = ALL_PORTS if rule.ports.named and way == "egress" else rule.ports.on(pod)
                    yield (name, pod.namespace, ports) if way == "ingress" else (pod.namespace, name, ports)


def _open(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    opened: dict[tuple[str, str], Ranges] = {}
    served: dict[str, Ranges] = {}
    for pod in network.pods:
        ports = Ranges.of((protocol, number, number) for _name, protocol, number in pod.ports)
        served[pod.namespace] = served.get(pod.namespace, _NO_PORTS) | ports
    for edge in network.edges:
        key = (edge.source.namespace, edge.target.namespace)
        opened[key] = opened.get(key, _NO_PORTS) | edge.ports
    for source, reached in TIERS.reaches.items():
        for target, ports in reached.items():
            wanted = ports & served.get(target, _NO_PORTS) if source in served else _NO_PORTS
            if wanted - opened.get((source, target), _NO_PORTS):
                fix = "open it on both sides, or take the line away"
                yield THE_STACK, f"{_FILE} declares ports of {target} to {source} that no pod of it reaches; {fix}"


def _blast(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    first = facing(network, manifests)
    passed = [pod for pod in routed(network, manifests) if pod not in first]
    ways = network.reached_from([*first, *passed])
    for pod, way in ways.items():
        path = " > ".join(each.workload for each in way)
        if TIERS.guarded & {pod.namespace, pod.workload}:
            yield pod.manifest, f"metadata.labels let the Internet in over {path}; close one of the ways in between"
        elif len(way) == 1 and pod.namespace in TIERS.behind:
            yield (
                pod.manifest,
                "metadata.labels have a Service, a route or the node open the pod to the outside; put a server of another tier first",
            )
    for edge in network.edges:
        tier = edge.target.namespace
        before = {TIERS.behind.get(tier), tier}
        if (
            tier in TIERS.behind
            and edge.source in ways
            and (edge.source in first or edge.source.namespace not in before)
        ):
            path = " > ".join(each.workload for each in [*ways[edge.source], edge.target])
            fix = f"have it ask a server of {TIERS.behind[tier]}"
            yield edge.source.manifest, f"metadata.labels let the Internet in over {path}; {fix}"


def _about_facing(manifest: Manifest) -> bool:
    """Return whether an object lets somebody outside in: a Service, a route, or a pod on its node's own address."""
    routes = at(manifest, "kind") in ("Ingress", *ROUTES, *OPAQUE_ROUTES)
    return published(manifest) or routes or any(on_node(pod) for pod in running(manifest))


def _egress(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    network = Network.of(manifests)
    for pod in network.pods:
        for block, single, rule in blocks(network, pod):
            ports = rule.ports.numbered if rule else ALL_PORTS
            if single and pod.workload not in TIERS.machines:
                yield pod.manifest, f"metadata.labels let the pod reach a single address, which is not declared; {_FIX}"
            if not single and block - PRIVATE and ports - TIERS.internet.get(pod.workload, _NO_PORTS):
                yield pod.manifest, f"metadata.labels let the pod reach the Internet, which is not declared; {_FIX}"


SEGMENTATION_RULES = (
    StackRule(
        name="network-tiers-declared",
        description="What pods may open to each other is declared, namespace by namespace and port by port.",
        why="A way between tiers that nobody decided on is the one that an attacker takes from the page to the data.",
        box="network-segmentation",
        controls=("cis:5.3.2", "kubescape:C-0260"),
        about=has_pods,
        severity="critical",
        check=_declared,
    ),
    StackRule(
        name="network-tiers-open",
        description="What is declared between tiers is open.",
        why="A declaration that nothing needs is permission in advance: the next policy that opens it is looked at by nobody.",
        box="network-segmentation",
        about=has_pods,
        severity="medium",
        check=_open,
    ),
    StackRule(
        name="network-blast-radius",
        description="From what faces the Internet, data is reached over the app tier alone, and what is guarded not at all.",
        why="Whoever takes over the page must find one more server to take over before the data, and nothing that undoes the rest.",
        box="network-segmentation",
        controls=("kubescape:C-0256", "kubescape:C-0266"),
        about=_about_facing,
        severity="critical",
        check=_blast,
    ),
    StackRule(
        name="network-egress-declared",
        description="Only workloads that are declared to open connections to the Internet, or to single addresses.",
        why="What is taken over calls home, and sends out what it finds; a server that cannot do so is of little use.",
        box="network-segmentation",
        controls=("nsa:C-0030", "cis:5.3.2"),
        about=kinds("NetworkPolicy"),
        severity="high",
        check=_egress,
    ),
)
