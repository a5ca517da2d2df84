"""Who reaches whom: NetworkPolicy v1 evaluated exactly, over what a program renders, both ways.

    network = Network.of(manifests)
    network.allowed(api, postgres, 5432)          # pods, as `network.pods` has them
    network.allowed("203.0.113.9", frontend, 80)  # an address outside
    network.opened(api, postgres)                 # every port at once

Policies add up: what one of them allows is allowed, and a pod that none selects for a way is open that way. The address of a pod is
not known before it runs. A block of addresses is taken to allow it if it has private addresses, unless it is a single one: that
names a machine. Policies are of no effect on a pod in its node's network, and no selector selects one: it is an address there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self, cast

from policies.network_policies import Peer, Policy, Rule, Way
from policies.ranges import ALL_PORTS, Ranges, address
from policies.rule import Manifest, at, namespace_of
from policies.running import NAMESPACE_NAME, Pod, namespace_labels, running
from policies.selectors import Labels


@dataclass(frozen=True, slots=True)
class Edge:
    """What one pod may open to another."""

    source: Pod
    target: Pod
    ports: Ranges


@dataclass(frozen=True, eq=False)
class Network:
    """The pods, namespaces and policies of a program."""

    pods: Sequence[Pod]
    namespaces: Mapping[str, Labels]
    policies: Mapping[str, Sequence[Policy]]
    _rules: dict[tuple[int, Way], Sequence[Rule] | None] = field(default_factory=dict[Any, Any], init=False)

    @classmethod
    def of(cls, manifests: Sequence[Manifest]) -> Self:
        """Return the network of some objects; the same one as for the call before if they are the same."""
        parts = [part for each in manifests for part in (each.get("kind"), each.get("metadata"), each.get("spec"))]
        key = [id(part) for part in parts]
        if _last and _last[0] == key:
            return cast("Self", _last[2])
        made = cls._read(manifests)
        _last[:] = [key, parts, made]  # the parts too: while they are kept, no other object gets their number
        return made

    @classmethod
    def _read(cls, manifests: Sequence[Manifest]) -> Self:
        pods = {pod.alike: pod for manifest in reversed(manifests) for pod in running(manifest)}
        policies: dict[str, list[Policy]] = {}
        namespaces: dict[str, Labels] = {}
        for manifest in manifests:
            if at(manifest, "kind") == "NetworkPolicy":
                policies.setdefault(namespace_of(manifest), []).append(Policy.of(manifest))
            elif at(manifest, "kind") == "Namespace":
                namespaces[at(manifest, "metadata.name", "")] = namespace_labels(manifest)
        for name in {pod.namespace for pod in pods.values()} - namespaces.keys():
            namespaces[name] = {NAMESPACE_NAME: name}
        return cls(list(reversed(pods.values())), namespaces, policies)

    def allowed(self, source: Pod | str, target: Pod | str, port: int, protocol: str = "TCP") -> bool:
        """Return whether a connection passes the policies of both sides; whoever is no pod is an address."""
        return (protocol, port) in self.opened(source, target)

    def opened(self, source: Pod | str, target: Pod | str) -> Ranges:
        """Return every port on which a connection passes the policies of both sides."""
        out = self.side(source, target, target, "egress")
        return out & self.side(target, source, target, "ingress") if out else out

    def side(self, subject: Pod | str, peer: Pod | str, target: Pod | str, way: Way) -> Ranges:
        """Return the ports of the target that the policies of one side let through."""
        rules = self.rules(subject, way) if isinstance(subject, Pod) else None
        if rules is None:
            return ALL_PORTS
        found = [rule.ports.on(target) for rule in rules if rule.peers is None or self._admit(rule.peers, peer)]
        return found[0] if len(found) == 1 else Ranges.of(each for ports in found for each in ports.ranges)

    def rules(self, pod: Pod, way: Way) -> Sequence[Rule] | None:
        """Return the rules that hold for a pod in one way; None if it is open that way, because no policy selects it."""
        key = (id(pod), way)
        if key not in self._rules:
            policies = () if pod.host_network else self.policies.get(pod.namespace, ())
            selecting = [policy for policy in policies if way in policy.rules and policy.selects(pod.labels)]
            self._rules[key] = [rule for policy in selecting for rule in policy.rules[way]] if selecting else None
        return self._rules[key]

    def admits(self, peer: Peer, who: Pod | str) -> bool:
        """Return whether one peer of a rule is this pod, or this address."""
        if isinstance(who, str):
            return peer.block is not None and address(who) in peer.block
        if peer.block is not None:
            return address(who.address) in peer.block if who.address else peer.may_be_a_pod
        if who.host_network:
            return False
        if peer.spaces is None:
            return who.namespace == peer.namespace and peer.pods(who.labels)
        return peer.spaces(self.namespaces.get(who.namespace, {NAMESPACE_NAME: who.namespace})) and peer.pods(
            who.labels
        )

    def _admit(self, peers: Sequence[Peer], who: Pod | str) -> bool:
        return any(self.admits(peer, who) for peer in peers)

    @cached_property
    def edges(self) -> Sequence[Edge]:
        """Every pair of pods of which one may open something to the other, replicas of one workload too."""
        return list(self._edges())

    def _edges(self) -> Iterator[Edge]:
        for source in self.pods:
            for target in self.pods:
                if ports := self.opened(source, target):
                    yield Edge(source, target, ports)

    def reached_from(self, sources: Sequence[Pod]) -> Mapping[Pod, Sequence[Pod]]:
        """Return each pod that can be reached from some, over others too, with the shortest way there: from source to it."""
        after: dict[Pod, list[Pod]] = {}
        for edge in self.edges:
            after.setdefault(edge.source, []).append(edge.target)
        ways: dict[Pod, Sequence[Pod]] = {source: [source] for source in sources}
        waiting = list(sources)
        for pod in waiting:
            for target in after.get(pod, ()):
                if target not in ways:
                    ways[target] = [*ways[pod], target]
                    waiting.append(target)
        return ways


_last: list[Any] = []
