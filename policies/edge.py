"""What the outside reaches: the gateways, their listeners, the routes on them, and the policies in force on each.

The kinds are those of the Gateway API and of Envoy Gateway. How far a gateway can be reached it says itself: its label `exposure` is
`public`, `admin` (through the VPN) or `internal`. One that says nothing, or something else, is judged as public.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from policies.rule import Manifest, Unreadable, at, identity
from policies.selectors import matcher

EXPOSURE = "exposure"
EXPOSURES = ("public", "admin", "internal")
ROUTES = ("HTTPRoute", "GRPCRoute")
OPAQUE_ROUTES = ("TLSRoute", "TCPRoute", "UDPRoute")
GATEWAY_GROUP = "gateway.networking.k8s.io"


def entry(manifest: Manifest, where: str, key: str) -> Any:
    """Return a label or an annotation, whose keys have dots in them; raise UnreadableError if it cannot be read."""
    return at({"it": at(manifest, where, {}).get(key)}, "it")


def exposure(manifest: Manifest) -> str:
    """Return how far an object says it can be reached: public if it does not say, or says what is no exposure."""
    said = entry(manifest, "metadata.labels", EXPOSURE)
    return said if said in EXPOSURES else "public"


@dataclass(frozen=True, slots=True, eq=False)
class Listener:
    """A port on which a gateway takes connections."""

    gateway: Manifest
    path: str
    spec: Manifest

    @property
    def plain(self) -> bool:
        """Whether it speaks HTTP in the clear."""
        return at(self.spec, "protocol") == "HTTP"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One rule of a route on one listener: where in the route it is, and the hosts it serves there."""

    object: Manifest
    listener: Listener
    path: str
    rule: Manifest
    hosts: tuple[str, ...]

    @property
    def matches(self) -> list[Manifest]:
        """What requests it takes: all of the hosts' if it does not say."""
        return at(self.rule, "matches") or [{}]

    @property
    def redirects(self) -> bool:
        """Whether it only sends the client elsewhere, and so reaches no backend."""
        kinds = [at(used, "type") for used in at(self.rule, "filters", [])]
        return "RequestRedirect" in kinds and not at(self.rule, "backendRefs")


class Edge:
    """The gateways of a stack, and what is on them."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        self.of: dict[str, list[Manifest]] = {}
        for manifest in manifests:
            self.of.setdefault(at(manifest, "kind", ""), []).append(manifest)
        self.gateways = self.of.get("Gateway", [])
        self.listeners = [
            Listener(gateway, f"spec.listeners[{index}]", listener)
            for gateway in self.gateways
            for index, listener in enumerate(at(gateway, "spec.listeners", []))
        ]
        self.routes = [
            Route(each, listener, f"spec.rules[{index}]", rule, hosts)
            for kind in ROUTES
            for each in self.of.get(kind, [])
            for listener, hosts in self.attached(each)
            for index, rule in enumerate(at(each, "spec.rules", [{}]))
        ]

    def exposed(self, *exposures: str) -> list[Route]:
        """Return the routes that reach a backend, on the gateways of some exposures."""
        return [each for each in self.routes if exposure(each.listener.gateway) in exposures and not each.redirects]

    def attached(self, route: Manifest) -> Iterator[tuple[Listener, tuple[str, ...]]]:
        """Yield each listener that a route names and shares a host with, and the hosts it serves there.

        Whether the listener lets it is not looked at: what it refuses is judged too.
        """
        namespace, _name = identity(route)
        for parent in at(route, "spec.parentRefs", []):
            wanted = (at(parent, "namespace", namespace), at(parent, "name"))
            for listener in self.listeners:
                if at(parent, "kind", "Gateway") == "Gateway" and identity(listener.gateway) == wanted:
                    hosts = _hosts(listener.spec, route)
                    if _named(parent, listener.spec) and hosts:
                        yield listener, hosts

    def policy(self, kind: str, route: Route) -> Manifest:
        """Return the `spec` of the policy of a kind in force on a route, {} if there is none.

        The rule's own policy is in force in place of the route's, that in place of the listener's, that in place of the
        gateway's. Only one that says how (`mergeType`) leaves the listener's or the gateway's in force where it says nothing.
        """
        own = [(route.object, at(route.rule, "name")), (route.object, None)]
        inherited = self.of_listener(kind, route.listener)
        for target, section in own:
            found = self.targeting(kind, target, section)
            if found:
                spec = _sole(found)
                return _merged(inherited, spec) if at(spec, "mergeType") else spec
        return inherited

    def of_listener(self, kind: str, listener: Listener) -> Manifest:
        """Return the `spec` of the policy of a kind in force on a listener: its own, else its gateway's."""
        found = self.targeting(kind, listener.gateway, at(listener.spec, "name"))
        return _sole(found or self.targeting(kind, listener.gateway, None))

    def targeting(self, kind: str, target: Manifest, section: Any) -> list[Manifest]:
        """Return the policies of a kind on an object, or on one section of it. They have to be in its namespace."""
        return [
            policy
            for policy in self.of.get(kind, [])
            if identity(policy)[0] == identity(target)[0] and targets(policy, target, section)
        ]


def targets(policy: Manifest, target: Manifest, section: Any) -> bool:
    """Return whether a policy, in the namespace of an object, names just that section of it, or it whole for None."""
    kind, name = at(target, "kind"), identity(target)[1]
    single = at(policy, "spec.targetRef")
    for ref in [single] if single else at(policy, "spec.targetRefs", []):
        named = (at(ref, "group"), at(ref, "kind"), at(ref, "name"), at(ref, "sectionName"))
        if named == (GATEWAY_GROUP, kind, name, section):
            return True
    labels = at(target, "metadata.labels", {})
    return section is None and any(
        at(selector, "kind") == kind and at(selector, "namespaces.from", "Same") == "Same" and matcher(selector)(labels)
        for selector in at(policy, "spec.targetSelectors", [])
    )


def covers(pattern: str, host: str) -> bool:
    """Return whether a host name of a listener or a route, which may begin with `*.`, stands for another, or for a wider one."""
    return pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def once(routes: Sequence[Route], complaints: Callable[[Route], Iterator[str]]) -> Iterator[tuple[Manifest, str]]:
    """Yield what is said of each route, once where it is on several listeners."""
    seen = set[tuple[int, str]]()
    for route in routes:
        for text in complaints(route):
            if (id(route.object), text) not in seen:
                seen.add((id(route.object), text))
                yield route.object, f"{route.path}{text}"


def backends(rule: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield each backend that a rule of a route sends requests to, or copies of them, with its path in the rule."""
    refs: list[Manifest] = at(rule, "backendRefs", [])
    filters = [(f"filters[{index}]", used) for index, used in enumerate(at(rule, "filters", []))]
    for index, ref in enumerate(refs):
        yield f"backendRefs[{index}]", ref
        own = enumerate(at(ref, "filters", []))
        filters += [(f"backendRefs[{index}].filters[{number}]", used) for number, used in own]
    for path, used in filters:
        if (mirror := at(used, "requestMirror.backendRef")) is not None:
            yield f"{path}.requestMirror.backendRef", mirror


def is_gateway(manifest: Manifest) -> bool:
    """Return whether an object is a gateway."""
    return at(manifest, "kind") == "Gateway"


def is_route(manifest: Manifest) -> bool:
    """Return whether an object is a route whose requests the gateway can read."""
    return at(manifest, "kind") in ROUTES


def _named(parent: Manifest, listener: Manifest) -> bool:
    section, port = at(parent, "sectionName"), at(parent, "port")
    by_name = section is None or section == at(listener, "name")
    return by_name and (port is None or str(port) == str(at(listener, "port")))


def _hosts(listener: Manifest, route: Manifest) -> tuple[str, ...]:
    bound = at(listener, "hostname") or "*"
    own: list[str] = at(route, "spec.hostnames") or ["*"]
    shared = [bound if covers(host, bound) else host for host in own if covers(host, bound) or covers(bound, host)]
    return tuple(shared)


def _sole(policies: Sequence[Manifest]) -> Manifest:
    """Return the only policy; which of several is in force nobody said, and so none is relied on."""
    return at(policies[0], "spec", {}) if len(policies) == 1 else {}


def _merged(below: Any, above: Any) -> Any:
    """Return what is in force where one policy is merged over another: lists and plain values replace."""
    if isinstance(below, Unreadable) or above is None:
        return below
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    lower, upper = cast("Manifest", below), cast("Manifest", above)
    return {key: _merged(lower.get(key), upper.get(key)) for key in lower.keys() | upper.keys()}
