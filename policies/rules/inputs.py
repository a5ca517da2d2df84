"""Input validation: what is too large, of the wrong method, origin or shape is refused before a program sees it."""

from collections.abc import Iterator, Sequence

from policies.edge import Edge, Route, covers, entry, is_route, once
from policies.quantities import quantity
from policies.rule import Manifest, Rule, StackRule, at, kinds

LARGEST_BODY = 100 * 2**20
"""In bytes. What is larger, as an upload, goes to the object store by an address that is signed."""


def _bounded(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        policy = edge.policy("BackendTrafficPolicy", route)
        if not 0 < quantity(at(policy, "requestBuffer.limit", 0)) <= LARGEST_BODY:
            fix = f"set requestBuffer.limit to at most {LARGEST_BODY // 2**20}Mi in the BackendTrafficPolicy in force"
            yield f" takes bodies of any size; {fix}"
        if at(route.object, "kind") == "HTTPRoute":
            for index, match in enumerate(route.matches):
                if not at(match, "method") and not _listed(edge, route):
                    fix = "set a method in each match, or operation.methods in authorization.rules of the SecurityPolicy in force"
                    yield f".matches[{index}] takes every method; {fix}"

    yield from once(edge.exposed("public", "admin"), complaints)


def _listed(edge: Edge, route: Route) -> bool:
    """Return whether who is let in is let in for some methods only."""
    rules = at(edge.policy("SecurityPolicy", route), "authorization", {})
    allowed = [rule for rule in at(rules, "rules", []) if at(rule, "action") == "Allow"]
    closed = at(rules, "defaultAction", "Deny") == "Deny"
    return closed and bool(allowed) and all(at(rule, "operation.methods") for rule in allowed)


def _origins(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    hosts = {host for route in edge.routes for host in route.hosts if not host.startswith("*")}
    for manifest, path, shared in _shares(edge):
        for index, origin in enumerate(at(shared, "allowOrigins", [])):
            scheme, _colons, host = str(origin).partition("://")
            where = f"{path}.allowOrigins[{index}]"
            if "*" in str(origin):
                if at(shared, "allowCredentials") or origin in ("*", "https://*", "http://*"):
                    yield manifest, f"{where} lets pages of others act as who is logged in; name each origin"
            elif scheme != "https":
                yield manifest, f"{where} is a page that anybody on the way can change; name an https:// origin"
            elif not any(covers(known, host.partition(":")[0]) for known in hosts):
                yield manifest, f"{where} is a host of no route here; name only origins of this platform"


def _shares(edge: Edge) -> Iterator[tuple[Manifest, str, Manifest]]:
    for policy in edge.of.get("SecurityPolicy", []):
        yield policy, "spec.cors", at(policy, "spec.cors", {})
    for route in edge.of.get("HTTPRoute", []):
        for number, rule in enumerate(at(route, "spec.rules", [])):
            for index, used in enumerate(at(rule, "filters", [])):
                yield route, f"spec.rules[{number}].filters[{index}].cors", at(used, "cors", {})


def _structural(manifest: Manifest) -> Iterator[str]:
    for index, version in enumerate(at(manifest, "spec.versions", [])):
        path = f"spec.versions[{index}].schema.openAPIV3Schema"
        schema = at(version, "schema.openAPIV3Schema", {})
        spec = at(schema, "properties.spec", {})
        if at(schema, "x-kubernetes-preserve-unknown-fields") or at(spec, "x-kubernetes-preserve-unknown-fields"):
            yield f"{path} takes fields that nobody described; remove x-kubernetes-preserve-unknown-fields"
        if not at(spec, "properties") or not at(spec, "required"):
            yield f"{path} does not say what a spec has to have; describe its properties, and which are required"
    if at(manifest, "spec.preserveUnknownFields"):
        yield "spec.preserveUnknownFields takes fields that nobody described; remove it"


def _is_own_definition(manifest: Manifest) -> bool:
    """Return whether an object defines a kind of this platform's: those of others come as they are."""
    own = at(manifest, "kind") == "CustomResourceDefinition"
    return own and entry(manifest, "metadata.labels", "app.kubernetes.io/part-of") == "platform"


INPUT_RULES = (
    StackRule(
        name="route-bounded-input",
        description="Every route from outside bounds the size of bodies and lists the methods it takes.",
        why="What a program never expected is what it was never tested with: a body that fills its memory, a DELETE.",
        box="input-validation",
        controls=("owasp-api:API4",),
        about=is_route,
        severity="high",
        check=_bounded,
    ),
    StackRule(
        name="edge-known-origins",
        description="Only pages of this platform may read answers in a browser.",
        why="A page that a visitor merely opens otherwise acts as that visitor, and reads what comes back.",
        box="input-validation",
        controls=("owasp-api:API8",),
        about=kinds("SecurityPolicy", "HTTPRoute"),
        severity="medium",
        check=_origins,
    ),
    Rule(
        name="definition-structural",
        description="Every definition of a kind of this platform says which fields its objects have, and which they have to have.",
        why="A misspelt field of a policy is taken and does nothing; where unknown fields are refused, it is an error.",
        box="input-validation",
        about=_is_own_definition,
        severity="medium",
        check=_structural,
    ),
)
