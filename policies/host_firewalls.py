"""The firewalls of the nodes themselves: what each lets in from outside, on which nodes, and whether it drops the rest.

Two sorts are read: a CiliumClusterwideNetworkPolicy with a `nodeSelector`, and a ConfigMap with an nftables ruleset, labelled
`app.kubernetes.io/component: firewall`, that a DaemonSet on the host's network mounts. What a ruleset says in a way not read here
cannot be judged, and so is a breach.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from policies.containers import pods
from policies.edge import entry, exposure
from policies.ranges import whole_internet
from policies.rule import Manifest, at, identity, namespace_of

_NOT_OUTSIDE = {"cluster", "host", "remote-node", "health", "kube-apiserver", "ingress", "init", "none", "unmanaged"}
_FROM = ("fromEntities", "fromCIDR", "fromCIDRSet", "fromEndpoints", "fromNodes", "fromGroups")
_HOOKED = re.compile(
    r"chain\s+\S+\s*\{\s*type\s+filter\s+hook\s+(?:input|prerouting|ingress)\b(?P<body>(?:[^{}]|\{[^{}]*\})*)\}"
)
_PORTS = re.compile(r"\b(?P<protocol>tcp|udp)\s+dport\s+(?P<ports>\{[^}]*\}|\S+)")
_SOURCES = re.compile(r"\bip6?\s+saddr\s+(?P<ranges>\{[^}]*\}|\S+)")
_KNOWN = r"(?:established|related)(?:\s*,\s*(?:established|related))*"
_NOT_NEW = re.compile(
    rf"\bct\s+state\s+(?:\{{\s*{_KNOWN}\s*\}}|{_KNOWN}\s+(?!,))"
    r"|\biif(?:name)?\s+\"?lo\b"
    r"|\b(?:protocol|l4proto|nexthdr)\s+(?:ipv6-)?icmp(?:v6)?\b|\bicmp(?:v6)?\s+type\b"
)
"""What brings no connection of TCP or UDP from outside: answers, the node itself, ICMP."""

Opening = tuple[str, int, int, str]
"""A protocol, the first and the last port, and where it is opened; all ports are 0 to 65535."""


@dataclass(frozen=True, slots=True, eq=False)
class HostFirewall:
    """What a firewall of nodes says: what it opens, whether it drops the rest, and the labels of the nodes it is on."""

    object: Manifest
    drops: bool
    openings: tuple[Opening, ...]
    nodes: Manifest


def is_host_firewall(manifest: Manifest) -> bool:
    """Return whether an object says what the nodes let in."""
    kind = at(manifest, "kind")
    if kind == "CiliumClusterwideNetworkPolicy":
        return at(manifest, "spec.nodeSelector") is not None
    # Other ConfigMaps are not read: they may have what only `up` knows.
    labelled = entry(manifest, "metadata.labels", "app.kubernetes.io/component") == "firewall"
    return kind == "ConfigMap" and labelled and any(True for _ruleset in _rulesets(manifest))


def host_firewalls(manifests: Sequence[Manifest]) -> list[HostFirewall]:
    """Return the firewalls that are in force on some nodes."""
    found = list[HostFirewall]()
    for manifest in manifests:
        if is_host_firewall(manifest):
            if at(manifest, "kind") == "ConfigMap":
                found += [_nftables(manifest, nodes) for nodes in _applied(manifest, manifests)]
            else:
                found.append(_cilium(manifest))
    return found


def _cilium(policy: Manifest) -> HostFirewall:
    rules = at(policy, "spec.ingress")
    drops = rules is not None and at(policy, "spec.enableDefaultDeny.ingress", True) is True
    openings = [
        opening for index, rule in enumerate(rules or []) for opening in _opened(rule, f"spec.ingress[{index}]")
    ]
    selector = at(policy, "spec.nodeSelector", {})
    expressions = {"matchExpressions": at(selector, "matchExpressions")} if at(selector, "matchExpressions") else {}
    return HostFirewall(policy, drops, tuple(openings), {**at(selector, "matchLabels", {}), **expressions})


def _opened(rule: Manifest, path: str) -> Iterator[Opening]:
    given = {key: at(rule, key) for key in _FROM if at(rule, key) is not None}
    inside = given.keys() <= {"fromEndpoints", "fromNodes", "fromEntities"}
    entities: list[str] = given.get("fromEntities", [])
    if not rule or (given and inside and all(entity in _NOT_OUTSIDE for entity in entities)):
        return
    if at(rule, "toPorts") is None:
        yield from (("TCP", 0, 65535, path), ("UDP", 0, 65535, path))
    for number, group in enumerate(at(rule, "toPorts", [])):
        for index, port in enumerate(at(group, "ports", [])):
            first = int(at(port, "port", 0))
            where = f"{path}.toPorts[{number}].ports[{index}]"
            for protocol in ("TCP", "UDP") if at(port, "protocol", "ANY") == "ANY" else (at(port, "protocol"),):
                yield protocol, first, int(at(port, "endPort", 0)) or (first or 65535), where


def _rulesets(config: Manifest) -> Iterator[tuple[str, str]]:
    for key in at(config, "data", {}):
        text = str(entry(config, "data", key))
        if re.search(r"^\s*table\s+\S+", text, re.MULTILINE) and "hook" in text:
            yield key, re.sub(r"#.*", "", text)


def _applied(config: Manifest, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield the node selector of each DaemonSet that puts a ruleset into force."""
    place = identity(config)
    for manifest in manifests:
        if at(manifest, "kind") == "DaemonSet" and namespace_of(manifest) == place[0]:
            for _path, pod in pods(manifest):
                mounted = [at(volume, "configMap.name") for volume in at(pod, "volumes", [])]
                if at(pod, "hostNetwork") is True and place[1] in mounted:
                    yield at(pod, "nodeSelector", {})


def _nftables(config: Manifest, nodes: Manifest) -> HostFirewall:
    openings, policies = list[Opening](), list[bool]()
    for key, text in _rulesets(config):
        for chain in _HOOKED.finditer(text):
            statements = [each.strip() for each in re.split(r"[;\n]", chain["body"])]
            policies.append("policy drop" in statements)
            openings += [each for statement in statements for each in _accepted(statement, f"data.{key}")]
    return HostFirewall(config, any(policies), tuple(openings), nodes)


def _accepted(statement: str, path: str) -> Iterator[Opening]:
    if re.search(r"\b(?:jump|goto)\b", statement):
        raise ValueError("a jump is not followed")
    if not re.search(r"\baccept\b", statement) or _NOT_NEW.search(statement):
        return
    sources = _SOURCES.search(statement)
    if sources and not whole_internet(each.strip() for each in sources["ranges"].strip("{}").split(",")):
        return
    named = _PORTS.search(statement)
    if named is None:
        yield from (("TCP", 0, 65535, path), ("UDP", 0, 65535, path))
        return
    for ports in named["ports"].strip("{}").split(","):
        first, _dash, last = ports.strip().partition("-")
        yield named["protocol"].upper(), int(first), int(last or first), path


def reached(manifests: Sequence[Manifest]) -> Iterator[tuple[str, int, Manifest, str]]:
    """Yield each port that the outside may reach: its protocol and number, of which object, and where it says so."""
    for manifest in manifests:
        kind = at(manifest, "kind")
        if kind == "Gateway" and exposure(manifest) != "internal":
            for index, listener in enumerate(at(manifest, "spec.listeners", [])):
                protocol = "UDP" if at(listener, "protocol") == "UDP" else "TCP"
                yield protocol, int(at(listener, "port")), manifest, f"spec.listeners[{index}].port"
        elif kind == "Service" and at(manifest, "spec.type") == "LoadBalancer":
            for index, port in enumerate(at(manifest, "spec.ports", [])):
                yield at(port, "protocol", "TCP"), int(at(port, "port")), manifest, f"spec.ports[{index}].port"
        else:
            for path, pod in pods(manifest):
                yield from ((*port, manifest, f"{path}.{where}") for *port, where in _on_host(pod))


def _on_host(pod: Manifest) -> Iterator[tuple[Any, ...]]:
    key = "containerPort" if at(pod, "hostNetwork") is True else "hostPort"
    for sort in ("initContainers", "containers"):
        for number, container in enumerate(at(pod, sort, [])):
            for index, port in enumerate(at(container, "ports", [])):
                if at(port, key):
                    yield at(port, "protocol", "TCP"), int(at(port, key)), f"{sort}[{number}].ports[{index}].{key}"
