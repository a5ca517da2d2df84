"""Routes: each serves named hosts and paths, once; leads to what is there; ends in time; and tells browsers what they may do."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from policies.backends import behind
from policies.durations import seconds
from policies.edge import (
    EXPOSURES,
    GATEWAY_GROUP,
    OPAQUE_ROUTES,
    ROUTES,
    Edge,
    Route,
    backends,
    is_route,
    once,
)
from policies.rule import Manifest, StackRule, at, identity, kinds

LONGEST_ANSWER = 120
"""In how many seconds an answer has to be there."""

MOST_RETRIES = 3
SHORTEST_PIN = 180 * 86400
"""For how many seconds a browser has to remember, at least, that a host is only spoken to through TLS."""

_REPEATABLE = {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"}
_NOT_YET_SENT = {"connect-failure", "refused-stream", "reset-before-request"}
_BANNERS = ("server", "x-powered-by")


def _named_hosts(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for route in Edge(manifests).routes:
        if any(host.startswith("*") for host in route.hosts):
            where = f"spec.hostnames leaves open which hosts {route.path} serves"
            yield route.object, f"{where}; name each, without a star"


def _unique(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    taken = dict[Any, Route]()
    for route in Edge(manifests).routes:
        for index, match in enumerate(route.matches):
            for host in route.hosts:
                key = (id(route.listener), host, _matched(match))
                other = taken.setdefault(key, route)
                if other is not route:
                    named = "/".join(identity(other.object))
                    where = f"{route.path}.matches[{index}]"
                    yield route.object, f"{where} takes what {named} {other.path} takes already; make one rule of both"


def _matched(match: Manifest) -> str:
    """Return what a match matches, the same for two that match the same."""
    path = (at(match, "path.type", "PathPrefix"), at(match, "path.value", "/").rstrip("/") or "/")
    others = [
        sorted(f"{dict(sorted(each.items()))}" for each in at(match, part, [])) for part in ("headers", "queryParams")
    ]
    return f"{path} {at(match, 'method', '')} {others}"


def _backends(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    for kind in (*ROUTES, *OPAQUE_ROUTES):
        for route in edge.of.get(kind, []):
            for number, rule in enumerate(at(route, "spec.rules", [])):
                for path, ref in backends(rule):
                    for text in _reached(route, ref, edge, manifests):
                        yield route, f"spec.rules[{number}].{path} {text}"


def _reached(route: Manifest, ref: Manifest, edge: Edge, manifests: Sequence[Manifest]) -> Iterator[str]:
    own = identity(route)[0]
    wanted = (at(ref, "namespace", own), at(ref, "name"))
    service = next((each for each in edge.of.get("Service", []) if identity(each) == wanted), None)
    if at(ref, "kind", "Service") != "Service" or service is None:
        yield "is no Service of the stack; name one"
        return
    if str(at(ref, "port")) not in [str(at(port, "port")) for port in at(service, "spec.ports", [])]:
        yield "is a port that the Service does not have; name one of its ports"
    if not behind(service, manifests):
        yield "is a Service with no pods behind it; correct its selector"
    if wanted[0] != own and not any(_granted(grant, route, wanted) for grant in edge.of.get("ReferenceGrant", [])):
        yield "is in another namespace, which does not lend it; add a ReferenceGrant there that names the Service"


def _granted(grant: Manifest, route: Manifest, wanted: tuple[Any, Any]) -> bool:
    own, kind = identity(route)[0], at(route, "kind")
    lent_to = any(
        (at(each, "group"), at(each, "kind"), at(each, "namespace")) == (GATEWAY_GROUP, kind, own)
        for each in at(grant, "spec.from", [])
    )
    lent = any(
        at(each, "group", "") == "" and at(each, "kind") == "Service" and at(each, "name", wanted[1]) == wanted[1]
        for each in at(grant, "spec.to", [])
    )
    return identity(grant)[0] == wanted[0] and lent_to and lent


def _timed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        policy = edge.policy("BackendTrafficPolicy", route)
        own = at(route.rule, "timeouts.request")
        longest = seconds(at(policy, "timeout.http.requestTimeout") if own is None else own)
        if not 0 < longest <= LONGEST_ANSWER:
            yield f" may wait for its backend for ever; set timeouts.request to at most {LONGEST_ANSWER}s"
        attempts = [at(route.rule, "retry.attempts", 1 if at(route.rule, "retry") is not None else 0)]
        attempts.append(at(policy, "retry.numRetries", 2 if at(policy, "retry") is not None else 0))
        if max(attempts) > MOST_RETRIES:
            yield f" makes many requests of one; retry {MOST_RETRIES} times at most"
        triggers = set(at(policy, "retry.retryOn.triggers", ["gateway-error"])) - _NOT_YET_SENT
        methods = {at(match, "method") for match in route.matches}
        if (attempts[0] or (attempts[1] and triggers)) and not methods <= _REPEATABLE:
            yield " sends again what may have been done already; retry only rules whose matches have a method like GET"

    yield from once(edge.exposed(*EXPOSURES), complaints)


def _headers(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        policy = edge.of_listener("ClientTrafficPolicy", route.listener)
        modifiers = [at(policy, "headers.lateResponseHeaders", {})]
        modifiers += [at(used, "responseHeaderModifier", {}) for used in at(route.rule, "filters", [])]
        given = {
            str(at(header, "name")).lower(): str(at(header, "value"))
            for modifier in modifiers
            for how in ("add", "set")
            for header in at(modifier, how, [])
        }
        removed = {str(name).lower() for modifier in modifiers for name in at(modifier, "remove", [])}
        if _pinned_for(given.get("strict-transport-security", "")) < SHORTEST_PIN:
            yield f" lets browsers come back in the clear; set Strict-Transport-Security with max-age={SHORTEST_PIN} or more"
        if given.get("x-content-type-options", "").lower() != "nosniff":
            yield " lets browsers guess what a file is; set X-Content-Type-Options: nosniff"
        if not (given.get("x-frame-options") or "frame-ancestors" in given.get("content-security-policy", "")):
            yield " lets other sites show it in a frame; set Content-Security-Policy with frame-ancestors"
        if not set(_BANNERS) <= removed | given.keys():
            yield f" says what it runs; remove the headers {' and '.join(_BANNERS)}"

    yield from once(edge.exposed("public"), complaints)


def _pinned_for(header: str) -> int:
    found = re.search(r"max-age=\"?([0-9]+)", header.lower())
    return int(found[1]) if found else 0


ROUTE_RULES = (
    StackRule(
        name="route-named-hosts",
        description="Every route serves hosts that it or its listener names.",
        why="A route for all hosts also answers for the ones that somebody else points here, or that are forgotten.",
        box="api-gateway",
        about=is_route,
        severity="high",
        check=_named_hosts,
    ),
    StackRule(
        name="route-unique",
        description="No two routes take the same host, path and method.",
        why="Which of the two answers depends on which is older; a new route can take over another's requests.",
        box="api-gateway",
        about=is_route,
        severity="medium",
        check=_unique,
    ),
    StackRule(
        name="route-backend-exists",
        description="Every route leads, and sends copies, to a port of a Service with pods, in its namespace or lent to it.",
        why="It is an error page, or whoever makes a Service of that name later gets the requests.",
        box="api-gateway",
        controls=("kubescape:C-0302",),
        about=kinds(*ROUTES, *OPAQUE_ROUTES),
        severity="medium",
        check=_backends,
    ),
    StackRule(
        name="route-timed",
        description="Every route ends a request in time, and sends again few, and only what can be done twice.",
        why="Requests that wait for ever use up all connections; retries make an outage of a slow backend, and two orders of one.",
        box="api-gateway",
        about=is_route,
        severity="medium",
        check=_timed,
    ),
    StackRule(
        name="route-security-headers",
        description="Every public route tells browsers to use TLS, to guess no types and to show it in no frame.",
        why="The browser is the last to keep a visitor from a page in the clear or a click on something hidden.",
        box="api-gateway",
        controls=("owasp-asvs:14.4",),
        about=is_route,
        severity="low",
        check=_headers,
    ),
)
