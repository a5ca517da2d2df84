"""Input validation: what is too large, of the wrong method, origin or shape is refused before a program sees it."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.backends import behind, pod_metadata
from policies.edge import Edge, Route, covers, entry, identity, is_route, once, selects
from policies.quantities import quantity
from policies.rule import Manifest, Rule, StackRule, Unreadable, at, kinds

LARGEST_BODY = 100 * 2**20
"""In bytes. What is larger, as an upload, goes to the object store by an address that is signed."""

_WEBHOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_INJECTED = ("cert-manager.io/inject-ca-from", "cert-manager.io/inject-ca-from-secret")


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


def _admission(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    namespaces = [each for each in manifests if at(each, "kind") == "Namespace"]
    for manifest in manifests:
        if at(manifest, "kind") in _WEBHOOKS:
            for index, webhook in enumerate(at(manifest, "webhooks", [])):
                for text in (*_closed(webhook, manifest, namespaces), *_available(webhook, manifests)):
                    yield manifest, f"webhooks[{index}]{text}"
        elif (
            at(manifest, "kind") == "ValidatingAdmissionPolicy" and at(manifest, "spec.failurePolicy", "Fail") != "Fail"
        ):
            yield manifest, "spec.failurePolicy lets in what it cannot judge; set it to Fail"


def _closed(webhook: Manifest, manifest: Manifest, namespaces: list[Manifest]) -> Iterator[str]:
    if at(webhook, "failurePolicy", "Fail") != "Fail":
        yield ".failurePolicy lets everything in while the webhook is away; set it to Fail"
    if at(webhook, "timeoutSeconds", 10) > 10:
        yield ".timeoutSeconds holds up the API server; set it to 10 at most"
    annotations = at(manifest, "metadata.annotations", {})
    bundle = at(webhook, "clientConfig", {}).get("caBundle")
    # That there is one is enough; it is often made by what makes the certificate, and known only then.
    if not (isinstance(bundle, Unreadable) or bundle) and not any(annotations.get(key) for key in _INJECTED):
        yield ".clientConfig does not say whose certificates are believed; set caBundle, or have cert-manager inject it"
    for namespace in namespaces:
        labels = {**at(namespace, "metadata.labels", {}), "kubernetes.io/metadata.name": identity(namespace)[1]}
        if not selects(at(webhook, "namespaceSelector", {}), labels):
            yield f".namespaceSelector leaves out the namespace {identity(namespace)[1]}; leave out none of the stack's"


def _available(webhook: Manifest, manifests: Sequence[Manifest]) -> Iterator[str]:
    wanted = at(webhook, "clientConfig.service")
    if wanted is None:
        yield ".clientConfig.url is a server that the stack does not run; name a Service"
        return
    place = (at(wanted, "namespace"), at(wanted, "name"))
    services = [each for each in manifests if at(each, "kind") == "Service" and identity(each) == place]
    workloads = [each for service in services for each in behind(service, manifests)]
    if not workloads or any(at(each, "spec.replicas", 1) < 2 for each in workloads):
        yield ".clientConfig.service has not two pods behind it, so a restart stops every change; run two replicas"
    budgets = [
        each for each in manifests if at(each, "kind") == "PodDisruptionBudget" and identity(each)[0] == place[0]
    ]
    for workload in workloads:
        labels: list[dict[str, Any]] = [at(metadata, "labels", {}) for _path, metadata in pod_metadata(workload)]
        if not any(selects(at(budget, "spec.selector", {}), each) for budget in budgets for each in labels):
            yield ".clientConfig.service may lose all its pods when nodes are drained; add a PodDisruptionBudget"


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
    StackRule(
        name="admission-fails-closed",
        description="What judges objects on their way in refuses what it cannot judge, leaves no namespace out, and is always there.",
        why="Whoever brings the webhook down, or writes into the namespace it leaves out, has everything let in.",
        box="input-validation",
        controls=("nsa:C-0036", "nsa:C-0039"),
        about=kinds(*_WEBHOOKS, "ValidatingAdmissionPolicy"),
        severity="high",
        check=_admission,
    ),
)
