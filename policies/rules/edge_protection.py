"""Protection from floods: no client, however fast or slow, takes what the others need."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.durations import seconds
from policies.edge import EXPOSURES, Edge, Route, exposure, is_gateway, is_route, once
from policies.quantities import quantity
from policies.rule import Manifest, StackRule, at, identity
from policies.rules.exposure import COMPONENT

MOST_REQUESTS = 100
"""How many requests a second one client may make of one route. A page with all its parts asks for fewer."""

LONGEST_REQUEST = 300
"""In how many seconds a request has to be there in whole."""

LONGEST_HEADERS = 30
"""In how many seconds the headers of a request have to be there."""

WIDEST_HEADERS = 96 * 1024
_EVERYBODY = ("0.0.0.0/0", "::/0")
_UNITS = {"Second": 1, "Minute": 60, "Hour": 3600, "Day": 86400, "Week": 604800}
_CLOSED_BY = ("maxConnections", "maxPendingRequests", "maxParallelRequests")


def _of_each_client(selector: Manifest) -> bool:
    """Return whether a condition holds for every request, and counts each client's own."""
    narrowed = any(at(selector, part) for part in ("headers", "methods", "path", "queryParams"))
    source = at(selector, "sourceCIDR", {})
    distinct = at(source, "type") == "Distinct" and at(source, "value") in _EVERYBODY and not at(source, "invert")
    return distinct and not narrowed


def _limits(rule: Manifest) -> bool:
    selectors = at(rule, "clientSelectors", [])
    counted = at(rule, "cost.request.number", 1) >= 1 and at(rule, "cost.request.from", "Number") == "Number"
    longest = _UNITS.get(at(rule, "limit.unit"), 0)
    enough = 0 < at(rule, "limit.requests", 0) <= MOST_REQUESTS * longest
    enforced = not at(rule, "shadowMode") and not at(rule, "limit.fromMetadata")
    return bool(selectors) and all(_of_each_client(each) for each in selectors) and counted and enough and enforced


def _rate_limited(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        limit = at(edge.policy("BackendTrafficPolicy", route), "rateLimit", {})
        rules: list[Manifest] = [
            *(at(limit, "global.rules", []) if at(limit, "type", "Global") == "Global" else []),
            *(at(limit, "local.rules", []) if at(limit, "type", "Local") == "Local" else []),
        ]
        if not any(_limits(rule) for rule in rules):
            yield (
                " takes any number of requests from one client; give the BackendTrafficPolicy in force a rateLimit with a"
                f" Distinct sourceCIDR and at most {MOST_REQUESTS} requests a second"
            )

    yield from once(edge.exposed("public"), complaints)


def _slow_clients(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    for listener in edge.listeners:
        policy = edge.of_listener("ClientTrafficPolicy", listener)
        if exposure(listener.gateway) == "public":
            for lacking, fix in _unbounded(policy):
                wanted = f"set {fix} in its ClientTrafficPolicy"
                yield listener.gateway, f"{listener.path} has no bound on {lacking}; {wanted}"


def _unbounded(policy: Manifest) -> Iterator[tuple[str, str]]:
    for name, field, most in (
        ("how long the headers take", "requestHeadersReceivedTimeout", LONGEST_HEADERS),
        ("how long a request takes", "requestReceivedTimeout", LONGEST_REQUEST),
        ("how long a connection is idle", "idleTimeout", 3600),
    ):
        if not 0 < seconds(at(policy, f"timeout.http.{field}")) <= most:
            yield name, f"timeout.http.{field} to at most {most}s"
    if at(policy, "connection.connectionLimit.value", 0) < 1:
        yield "how many connections there are", "connection.connectionLimit.value"
    if not quantity(at(policy, "connection.bufferLimit", 0)):
        yield "what is kept in memory for a connection", "connection.bufferLimit"
    if quantity(at(policy, "headers.maxRequestHeaderLimit", 0)) > WIDEST_HEADERS:
        yield "how long the headers are", f"headers.maxRequestHeaderLimit to at most {WIDEST_HEADERS // 1024}Ki"


def _circuit_breaker(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        policy = edge.policy("BackendTrafficPolicy", route)
        for field in _CLOSED_BY:
            if at(policy, f"circuitBreaker.{field}", 0) < 1:
                yield f" lets a flood fill its backend; set circuitBreaker.{field} in the BackendTrafficPolicy in force"
        if at(policy, "healthCheck.passive") is None and at(policy, "healthCheck.active") is None:
            yield " keeps on asking pods that fail; set healthCheck.passive in the BackendTrafficPolicy in force"

    yield from once(edge.exposed(*EXPOSURES), complaints)


def _in_the_edge(manifest: Manifest) -> bool:
    """Return whether an object's namespace is the edge's: a gateway's, or that of what is labelled as the edge."""
    return is_gateway(manifest) or at(manifest, "metadata.labels", {}).get(COMPONENT) == "edge"


def _bounded_namespace(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    there: dict[str, set[Any]] = {kind: set() for kind in ("ResourceQuota", "LimitRange")}
    for manifest in manifests:
        kind = at(manifest, "kind")
        bounds = at(manifest, "spec.hard") if kind == "ResourceQuota" else at(manifest, "spec.limits")
        if kind in there and bounds:
            there[kind].add(identity(manifest)[0])
    first = {identity(manifest)[0]: manifest for manifest in reversed(manifests) if _in_the_edge(manifest)}
    for namespace, manifest in first.items():
        for kind, namespaces in there.items():
            if namespace not in namespaces:
                yield manifest, f"metadata.namespace has no {kind}, so a flood takes all of the nodes; add one"


DDOS_RULES = (
    StackRule(
        name="route-rate-limited",
        description="Every public route bounds how many requests each client may make.",
        why="One client with a loop keeps everybody else out, or tries passwords as fast as the servers answer.",
        box="ddos-protection",
        controls=("owasp-api:API4",),
        about=is_route,
        severity="high",
        check=_rate_limited,
    ),
    StackRule(
        name="edge-slow-clients",
        description="Every public listener bounds how long requests and how many connections take.",
        why="A thousand connections that send a byte a minute cost the attacker nothing, and hold all there are: slowloris.",
        box="ddos-protection",
        about=is_gateway,
        severity="high",
        check=_slow_clients,
    ),
    StackRule(
        name="route-circuit-breaker",
        description="Every route bounds what it asks of its backend at once, and leaves out pods that fail.",
        why="A flood on one route fills the queues of all, and the pods that still answer get the share of those that do not.",
        box="ddos-protection",
        about=is_route,
        severity="medium",
        check=_circuit_breaker,
    ),
    StackRule(
        name="edge-bounded-namespace",
        description="The namespaces of the edge have a quota and limits.",
        why="The edge grows with the traffic; without a bound a flood makes it grow until nothing else fits on the nodes.",
        box="ddos-protection",
        controls=("trivy:KSV-0039", "trivy:KSV-0040"),
        about=_in_the_edge,
        severity="medium",
        check=_bounded_namespace,
    ),
)
