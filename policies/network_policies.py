"""NetworkPolicies, read into what can be asked of them. What of one cannot be read raises here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from policies.ranges import ALL_PORTS, PRIVATE, Ranges, addresses
from policies.rule import Manifest, at, namespace_of
from policies.running import NAMESPACE_NAME, Pod
from policies.selectors import Matches, matcher, pinned

Way = Literal["ingress", "egress"]
_SIDES: Mapping[str, tuple[Way, str]] = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports by number, and by the name that the server gives them."""

    numbered: Ranges
    named: Sequence[tuple[str, str]] = ()

    def on(self, target: Pod | str) -> Ranges:
        """Return the numbers that these are on a server: no name means anything outside the cluster."""
        if not self.named or isinstance(target, str):
            return self.numbered
        found = [
            (protocol, number, number) for name, protocol, number in target.ports if (protocol, name) in self.named
        ]
        return Ranges.of([*self.numbered.ranges, *found])


@dataclass(frozen=True, slots=True, eq=False)
class Peer:
    """Who is on the other side: the addresses of `block`, or pods of some namespaces, of the policy's own without `spaces`.

    `names` are the only names those namespaces can have; None if the selector leaves them open.
    """

    namespace: str
    pods: Matches
    spaces: Matches | None = None
    names: set[str] | None = None
    block: Ranges | None = None
    single: bool = False

    @property
    def may_be_a_pod(self) -> bool:
        """Whether a pod whose address is not known yet may be in the block."""
        return self.block is not None and not self.single and bool(self.block & PRIVATE)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule of a policy: `peers` is None where it is for all."""

    peers: Sequence[Peer] | None
    ports: Ports


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A policy, and its rules for each way that it isolates."""

    manifest: Manifest
    selects: Matches
    rules: Mapping[Way, Sequence[Rule]]

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return a NetworkPolicy as one."""
        namespace = namespace_of(manifest)
        rules: dict[Way, list[Rule]] = {
            way: [
                Rule(_peers(at(rule, side, []), namespace), _ports(at(rule, "ports", [])))
                for rule in at(manifest, f"spec.{way}", [])
            ]
            for way, side in (_SIDES[kind] for kind in isolated(manifest))
        }
        return cls(manifest, matcher(at(manifest, "spec.podSelector", {})), rules)


def isolated(policy: Manifest) -> list[str]:
    """Return the ways that a policy is about: where it does not say, ingress, and egress if it has rules for it."""
    given = at(policy, "spec.policyTypes", [])
    return [str(way) for way in given] or ["Ingress", *(["Egress"] if at(policy, "spec.egress") else [])]


def _peers(given: Sequence[Manifest], namespace: str) -> list[Peer] | None:
    """Return the peers of a rule; one that says nothing, which Kubernetes refuses, is taken for everybody."""
    found = [_peer(peer, namespace) for peer in given]
    return [peer for peer in found if peer is not None] if found and None not in found else None


def _peer(given: Manifest, namespace: str) -> Peer | None:
    block, spaces, pods = (at(given, part) for part in ("ipBlock", "namespaceSelector", "podSelector"))
    if block is None and spaces is None and pods is None:
        return None
    selected = matcher({} if pods is None else pods)
    if block is None:
        if spaces is None:
            return Peer(namespace, selected, names={namespace})
        return Peer(namespace, selected, matcher(spaces), pinned(spaces, NAMESPACE_NAME))
    if spaces is not None or pods is not None:
        raise ValueError("a peer has ipBlock and selectors, which Kubernetes refuses")
    whole = addresses(at(block, "cidr", ""))
    _family, first, last = whole.ranges[0]
    return Peer(namespace, selected, block=whole - addresses(*at(block, "except", [])), single=first == last)


def _ports(given: Sequence[Manifest]) -> Ports:
    if not given:
        return Ports(ALL_PORTS)
    numbered: list[tuple[str, int, int]] = []
    named: list[tuple[str, str]] = []
    for each in given:
        protocol: str = at(each, "protocol", "TCP")
        port: Any = at(each, "port")
        last: Any = at(each, "endPort", port)
        if isinstance(port, str) and last == port:
            named.append((protocol, port))
        elif port is None and last is None:
            numbered.append((protocol, 0, 65535))
        elif isinstance(port, int) and port <= last:
            numbered.append((protocol, port, last))
        else:
            raise ValueError("endPort is not after a number, which Kubernetes refuses")
    return Ports(Ranges.of(numbered), named)
