"""What each NetworkPolicy may say: it names who is on the other side, and on which ports."""

from collections.abc import Iterator
from typing import Any

from policies.network_policies import Policy
from policies.ranges import Ranges
from policies.rule import Manifest, Rule, at, kinds
from policies.running import NAMESPACE_NAME
from policies.selectors import pinned

_SIDES = {"ingress": "from", "egress": "to"}
_WIDEST = 100  # ports that one range may have: enough for what a server takes at random, as passive FTP does
_DNS = Ranges.of([("TCP", 53, 53), ("UDP", 53, 53)])


def _rules(policy: Manifest) -> Iterator[tuple[str, str, Manifest]]:
    """Yield each rule of a policy: where it is, the key of its peers, and itself."""
    for way, side in _SIDES.items():
        for index, rule in enumerate(at(policy, f"spec.{way}", [])):
            yield f"spec.{way}[{index}]", side, rule


def _peers_named(policy: Manifest) -> Iterator[str]:
    for where, side, rule in _rules(policy):
        peers: list[Any] = at(rule, side, [])
        if not peers:
            yield f"{where}.{side} is left out, which is everybody; list who it is for"
        for index, peer in enumerate(peers):
            spaces, pods = at(peer, "namespaceSelector"), at(peer, "podSelector")
            if spaces is not None and pinned(spaces, NAMESPACE_NAME) is None:
                yield (
                    f"{where}.{side}[{index}].namespaceSelector leaves open which namespaces; "
                    f"select them by {NAMESPACE_NAME}, which nobody can give to another"
                )
            if at(peer, "ipBlock") is None and not any(at(pods, part) for part in ("matchLabels", "matchExpressions")):
                yield f"{where}.{side}[{index}].podSelector selects every pod; select those that it is for"


def _ports_listed(policy: Manifest) -> Iterator[str]:
    for where, _side, rule in _rules(policy):
        ports: list[Any] = at(rule, "ports", [])
        if not ports:
            yield f"{where}.ports is left out, which is all ports; list those it is for"
        for index, port in enumerate(ports):
            first = at(port, "port")
            if first is None:
                yield f"{where}.ports[{index}] is all ports of a protocol; name one"
            elif not isinstance(first, str) and at(port, "endPort", first) - first >= _WIDEST:
                yield f"{where}.ports[{index}].endPort makes a range of more than {_WIDEST} ports; list those it is for"


def _dns_only(policy: Manifest) -> Iterator[str]:
    for index, rule in enumerate(Policy.of(policy).rules.get("egress", ())):
        if not rule.ports.numbered & _DNS:
            continue
        peers: list[Any] = at(at(policy, "spec.egress")[index], "to", [])
        if not peers or not all(_is_dns(peer) for peer in peers):
            yield f"spec.egress[{index}] opens port 53 to others than the cluster's DNS; select k8s-app: kube-dns in kube-system"


def _is_dns(peer: Manifest) -> bool:
    spaces, pods = at(peer, "namespaceSelector", {}), at(peer, "podSelector", {})
    return pinned(spaces, NAMESPACE_NAME) == {"kube-system"} and pinned(pods, "k8s-app") == {"kube-dns"}


NETWORK_POLICY_RULES = (
    Rule(
        name="network-peers-named",
        description="A NetworkPolicy names the namespaces and selects the pods that it is for.",
        why="A rule for everybody is for whoever comes next too: a pod of any namespace that somebody may create.",
        box="internal-firewall",
        controls=("trivy:KSV-0038", "cis:5.3.2"),
        about=kinds("NetworkPolicy"),
        severity="high",
        check=_peers_named,
    ),
    Rule(
        name="network-ports-listed",
        description="A NetworkPolicy lists the ports that it opens.",
        why="Whoever may reach one port of a server reaches its debugger and its metrics too.",
        box="internal-firewall",
        controls=("cis:5.3.2",),
        about=kinds("NetworkPolicy"),
        severity="high",
        check=_ports_listed,
    ),
    Rule(
        name="network-dns-only",
        description="The port of DNS is open to the cluster's own DNS and to nobody else.",
        why="Names are a way out: an attacker's own name server takes what is sent to it bit by bit, as questions.",
        box="internal-firewall",
        about=kinds("NetworkPolicy"),
        severity="low",
        check=_dns_only,
    ),
)
