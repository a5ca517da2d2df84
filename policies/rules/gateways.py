"""The API gateway: who may put routes on it, and that it speaks TLS with certificates that it has."""

import re
from collections.abc import Iterator, Sequence

from policies.edge import (
    EXPOSURE,
    EXPOSURES,
    OPAQUE_ROUTES,
    ROUTES,
    Edge,
    Listener,
    Route,
    entry,
    is_gateway,
    once,
)
from policies.rule import Manifest, Rule, StackRule, at, identity, kinds

_OTHER_ENTRANCES = ("Ingress", "VirtualService", "IngressRoute", "HTTPProxy", "TraefikService")
_OLD_TLS = ("1.0", "1.1")
_NEWEST_TLS = ("1.3", "Auto")
_SOUND = re.compile(r"(?:TLS_)?ECDHE[-_](?:ECDSA|RSA)[-_].*(?:GCM|CHACHA20)")


def _declared(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    """Yield what is on no gateway, or on one that does not say, in its label `exposure`, how far it reaches."""
    edge = Edge(manifests)
    for gateway in edge.gateways:
        if entry(gateway, "metadata.labels", EXPOSURE) not in EXPOSURES:
            yield (
                gateway,
                f"metadata.labels does not say how far it reaches; set {EXPOSURE} to public, admin or internal",
            )
    for kind in (*ROUTES, *OPAQUE_ROUTES):
        for route in edge.of.get(kind, []):
            if not any(True for _listener in edge.attached(route)):
                yield (
                    route,
                    "spec.parentRefs names no listener of a Gateway here that serves its hosts; name one that does",
                )
    for kind in _OTHER_ENTRANCES:
        for each in edge.of.get(kind, []):
            yield each, f"kind {kind} is an entrance past the gateway and its policies; use an HTTPRoute"


def _policies_attached(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    taken = set[tuple[str, object, str, object]]()
    for kind in _POLICIES:
        for policy in edge.of.get(kind, []):
            for index, selector in enumerate(at(policy, "spec.targetSelectors", [])):
                if at(selector, "namespaces.from", "Same") != "Same":
                    path = f"spec.targetSelectors[{index}].namespaces"
                    yield policy, f"{path} reaches into other namespaces; write the policy beside its target"
            own = list(_targets(edge, policy, kind))
            if not own:
                yield (
                    policy,
                    "spec.targetRefs names nothing that is in its namespace; name a Gateway, listener or route there",
                )
            for target in own:
                if target in taken:
                    yield (
                        policy,
                        "spec.targetRefs names what another such policy is on already; make one policy of both",
                    )
                taken.add(target)


_POLICIES = ("BackendTrafficPolicy", "ClientTrafficPolicy", "SecurityPolicy", "EnvoyExtensionPolicy")


def _targets(edge: Edge, policy: Manifest, kind: str) -> Iterator[tuple[str, object, str, object]]:
    objects = [(gateway, "spec.listeners") for gateway in edge.gateways]
    objects += [(route, "spec.rules") for sort in ROUTES for route in edge.of.get(sort, [])]
    for each, sections in objects:
        names = [name for part in at(each, sections, []) if (name := at(part, "name")) is not None]
        for section in (None, *names):
            if any(found is policy for found in edge.targeting(kind, each, section)):
                yield kind, identity(each), at(each, "kind"), section


def _allowed(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "kind") == "ReferenceGrant":
        for index, target in enumerate(at(manifest, "spec.to", [])):
            if not at(target, "name"):
                yield f"spec.to[{index}] lets others use all of the namespace's objects of a kind; set name"
        return
    for index, listener in enumerate(at(manifest, "spec.listeners", [])):
        allowed = at(listener, "allowedRoutes.namespaces", {})
        selector = at(allowed, "selector", {})
        narrow = at(selector, "matchLabels") or at(selector, "matchExpressions")
        if at(allowed, "from", "Same") == "All" or (at(allowed, "from") == "Selector" and not narrow):
            yield f"spec.listeners[{index}].allowedRoutes lets every namespace take its hosts; set from: Selector, with labels"
    if at(manifest, "spec.allowedListeners.namespaces.from", "None") != "None":
        yield "spec.allowedListeners lets others open ports on it; remove it"


def _encrypted(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    for listener in edge.listeners:
        for text in _clear(listener):
            yield listener.gateway, f"{listener.path}{text}"
        for text in _weak(at(edge.of_listener("ClientTrafficPolicy", listener), "tls", {})):
            yield listener.gateway, f"{listener.path} {text} in its ClientTrafficPolicy"

    def complaints(route: Route) -> Iterator[str]:
        schemes = [at(used, "requestRedirect.scheme") for used in at(route.rule, "filters", [])]
        if route.listener.plain and not (route.redirects and "https" in schemes):
            yield " is served in the clear; redirect it with scheme: https, and serve it from the HTTPS listener"

    yield from once(edge.routes, complaints)


def _weak(tls: Manifest) -> Iterator[str]:
    if at(tls, "minVersion", "1.2") in _OLD_TLS:
        yield "takes old versions of TLS; set tls.minVersion to 1.2"
    if at(tls, "maxVersion", "1.3") not in _NEWEST_TLS:
        yield "takes no new version of TLS; take away tls.maxVersion"
    # One text may be a group of them, as [A|B].
    ciphers = [cipher for text in at(tls, "ciphers", []) for cipher in text.strip("[]").split("|")]
    if not all(_SOUND.match(cipher) for cipher in ciphers):
        yield "takes ciphers whose traffic is read later, or changed; name only ECDHE with GCM or CHACHA20 in tls.ciphers"


def _clear(listener: Listener) -> Iterator[str]:
    protocol = at(listener.spec, "protocol")
    if protocol not in ("HTTP", "HTTPS"):
        yield ".protocol is one in which the gateway cannot read requests; use HTTPS"
    if protocol == "HTTPS" and at(listener.spec, "tls.mode", "Terminate") != "Terminate":
        yield ".tls.mode passes on what the gateway cannot read; use Terminate"
    if protocol == "HTTPS" and not at(listener.spec, "tls.certificateRefs"):
        yield ".tls has no certificate; set certificateRefs"


def _certified(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    for listener in edge.listeners:
        names = set[str]()
        for index, ref in enumerate(at(listener.spec, "tls.certificateRefs", [])):
            place = identity(listener.gateway)[0]
            found = [each for each in edge.of.get("Certificate", []) if _makes(each, ref, place)]
            if not found or at(ref, "namespace", place) != place:
                path = f"{listener.path}.tls.certificateRefs[{index}]"
                yield (
                    listener.gateway,
                    f"{path} is made by no Certificate beside the gateway; add one with its secretName",
                )
            names |= {name for each in found for name in at(each, "spec.dnsNames", [])}
        hosts = {host for route in edge.routes if route.listener is listener for host in route.hosts}
        for host in sorted(hosts | {at(listener.spec, "hostname", "*")}) if names else []:
            if host != "*" and not any(_certifies(name, host) for name in names):
                yield (
                    listener.gateway,
                    f"{listener.path} serves a host that no certificate of it names; add it to the dnsNames",
                )


def _makes(certificate: Manifest, ref: Manifest, place: str) -> bool:
    return identity(certificate)[0] == place and at(certificate, "spec.secretName") == at(ref, "name")


def _certifies(name: str, host: str) -> bool:
    """Return whether a certificate's name stands for a host: a star stands for one label, and no more."""
    return name == host or (name.startswith("*.") and host.partition(".")[2] == name[2:])


def _class(manifest: Manifest) -> Iterator[str]:
    if entry(manifest, "metadata.annotations", "ingressclass.kubernetes.io/is-default-class") in ("true", True):
        yield "metadata.annotations makes every Ingress without a class one of it; remove is-default-class"
    if at(manifest, "spec.controller") == "k8s.io/ingress-nginx":
        yield "spec.controller gets no more corrections since March 2026; use Envoy Gateway"


GATEWAY_RULES = (
    StackRule(
        name="route-of-a-declared-gateway",
        description="All that leads in from outside is a route on a gateway that says how far it reaches.",
        why="A second entrance has none of the policies of the first: no WAF, no login, no limits.",
        box="api-gateway",
        controls=("kubescape:C-0266", "kubescape:C-0263"),
        about=kinds("Gateway", *ROUTES, *OPAQUE_ROUTES, *_OTHER_ENTRANCES),
        severity="high",
        check=_declared,
    ),
    StackRule(
        name="route-policies-attached",
        description="Each policy of the gateway is on something in its namespace, and the only one of its kind there.",
        why="A policy in another namespace, or on a listener that was renamed, does nothing, and nothing says so.",
        box="api-gateway",
        about=kinds(*_POLICIES),
        severity="high",
        check=_policies_attached,
    ),
    Rule(
        name="gateway-allowed-routes",
        description="Only named namespaces put routes on a gateway, and only named objects are lent to another namespace.",
        why="Who may write routes in any namespace takes over a host, or a certificate, of another's.",
        box="api-gateway",
        about=kinds("Gateway", "ReferenceGrant"),
        severity="high",
        check=_allowed,
    ),
    StackRule(
        name="gateway-encrypted",
        description="Every listener ends TLS of a current version with sound ciphers; what comes in the clear is sent on to it.",
        why="In the clear, whoever is between reads the session and changes the page; passed through, no rule of the gateway holds.",
        box="api-gateway",
        controls=("kubescape:C-0263",),
        about=is_gateway,
        severity="critical",
        check=_encrypted,
    ),
    StackRule(
        name="gateway-certificate",
        description="Every certificate of a listener is made by the stack, and names the hosts that are served with it.",
        why="Without it the first to notice that the gateway has no certificate, or another's, are those who come to the site.",
        box="api-gateway",
        about=is_gateway,
        severity="critical",
        check=_certified,
    ),
    Rule(
        name="edge-ingress-class",
        description="No class of ingress takes what names none, or is of a controller that gets no more corrections.",
        why="An Ingress that somebody forgot to give a class is published at once, and by what faces the Internet with open flaws.",
        box="api-gateway",
        about=kinds("IngressClass"),
        severity="medium",
        check=_class,
    ),
)
