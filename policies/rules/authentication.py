"""Who is let in: every route asks who it is, believes only sound tokens, and lets those in who may."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

from policies.edge import Edge, Route, entry, exposure, is_gateway, is_route, once
from policies.ranges import whole_internet
from policies.rule import Manifest, Rule, StackRule, at, kinds

ANONYMOUS = "anonymous"
"""The annotation of a route that everybody may use: `OWNER: REASON`."""

_SECOND_FACTOR = ("acr", "amr")
_SHARED_KEYS = ("oct",)


def is_anonymous(route: Manifest) -> bool:
    """Return whether a route is declared, by its annotation `anonymous: "OWNER: REASON"`, to be for everybody."""
    owner, _colon, reason = str(entry(route, "metadata.annotations", ANONYMOUS) or "").partition(":")
    return bool(owner.strip() and len(reason.split()) > 1)


def _asks(edge: Edge, route: Route) -> bool:
    """Return whether a route refuses who does not say who it is."""
    policy = edge.policy("SecurityPolicy", route)
    token = at(policy, "jwt")
    if token is not None and at(token, "providers") and not at(token, "optional") and not at(token, "failOpen"):
        return True
    asked = at(policy, "extAuth")
    if asked is not None and not at(asked, "failOpen"):
        return True
    if any(at(policy, way) is not None for way in ("oidc", "basicAuth", "apiKeyAuth")):
        return True
    client = at(edge.of_listener("ClientTrafficPolicy", route.listener), "tls.clientValidation", {})
    required = at(client, "mode", "RequireAndVerify") == "RequireAndVerify" and not at(client, "optional")
    return bool(at(client, "caCertificateRefs")) and required


def _authenticated(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        open_to_all = exposure(route.listener.gateway) != "admin" and is_anonymous(route.object)
        if not open_to_all and not _asks(edge, route):
            fix = f"put a SecurityPolicy in force that does, or annotate the route {ANONYMOUS}: OWNER: REASON"
            yield f" asks nobody who they are; {fix}"

    yield from once(edge.exposed("public", "admin"), complaints)


def _sound(manifest: Manifest) -> Iterator[str]:
    for way in ("basicAuth", "apiKeyAuth"):
        if at(manifest, f"spec.{way}") is not None:
            yield f"spec.{way} takes a secret that never changes and that every request shows; use oidc or jwt"
    for index, provider in enumerate(at(manifest, "spec.jwt.providers", [])):
        for text in _trusted(provider):
            yield f"spec.jwt.providers[{index}]{text}"
    if at(manifest, "spec.oidc") is not None:
        for field in ("issuer", "authorizationEndpoint", "tokenEndpoint"):
            address = at(manifest, f"spec.oidc.provider.{field}", "" if field == "issuer" else "https://")
            if not address.startswith("https://"):
                yield f"spec.oidc.provider.{field} is not spoken to through TLS; give an https:// address"
        if not at(manifest, "spec.oidc.clientSecret.name"):
            yield "spec.oidc.clientSecret names no Secret; name one"
        if at(manifest, "spec.oidc.disableTokenEncryption"):
            yield "spec.oidc.disableTokenEncryption leaves tokens readable in cookies; set it to false"


def _trusted(provider: Manifest) -> Iterator[str]:
    if not at(provider, "issuer", "").startswith("https://"):
        yield ".issuer does not say whose tokens are believed; give its https:// address"
    if not at(provider, "audiences"):
        yield ".audiences believes tokens made for others; name this platform's"
    remote, local = at(provider, "remoteJWKS"), at(provider, "localJWKS")
    if remote is not None and not at(remote, "uri", "").startswith("https://"):
        yield ".remoteJWKS.uri lets anybody on the way give keys; give an https:// address"
    if local is not None and _shared(at(local, "inline")):
        yield ".localJWKS.inline has keys with which tokens can be made as well; give public keys only"
    if remote is None and local is None:
        yield " has no keys to check tokens with; set remoteJWKS"
    if at(provider, "extractFrom.params"):
        yield ".extractFrom.params takes tokens from addresses, which are logged; take them from headers or cookies"


def _shared(text: str | None) -> bool:
    document: Any = json.loads(text) if text else {}
    keys: list[Manifest] = cast("Manifest", document).get("keys", [])
    return any(
        at(key, "kty") in _SHARED_KEYS or str(at(key, "alg", "")).upper().startswith(("HS", "NONE")) for key in keys
    )


def _let_in(policy: Manifest) -> Iterator[str]:
    """Yield what is wrong with who a policy lets in."""
    rules = at(policy, "authorization")
    if rules is None:
        yield " lets in everybody who has an account; set authorization in the SecurityPolicy in force"
        return
    if at(rules, "defaultAction", "Deny") != "Deny":
        yield " lets in whom no rule names; set authorization.defaultAction: Deny in the SecurityPolicy in force"
    if not [rule for rule in at(rules, "rules", []) if at(rule, "action") == "Allow"]:
        yield " lets in nobody; add an Allow rule to authorization.rules of the SecurityPolicy in force"
    for index, rule in enumerate(at(rules, "rules", [])):
        if at(rule, "action") == "Allow" and not _narrow(rule):
            yield f" lets in everybody by authorization.rules[{index}]; have it ask for a scope or a claim"


def _narrow(rule: Manifest) -> bool:
    """Return whether a rule asks for more than an account: a scope, a claim, an expression, or a network of ours."""
    claims = at(rule, "principal.jwt.scopes") or at(rule, "principal.jwt.claims")
    networks = at(rule, "principal.clientCIDRs", [])
    ours = bool(networks) and not whole_internet(networks)
    said = str(at(rule, "cel", "")).strip()
    return bool(claims) or ours or said not in ("", "true")


def _authorized(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        policy = edge.policy("SecurityPolicy", route)
        # Who is asked outside decides outside.
        if not is_anonymous(route.object) and at(policy, "extAuth") is None:
            yield from _let_in(policy)

    yield from once(edge.exposed("public", "admin"), complaints)


def _second_factor(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        policy = edge.policy("SecurityPolicy", route)
        signed_on = at(policy, "oidc") is not None or at(policy, "jwt") is not None
        allowed = [rule for rule in at(policy, "authorization.rules", []) if at(rule, "action") == "Allow"]
        strong = [rule for rule in allowed if _asks_twice(rule)]
        if not signed_on or not allowed or len(strong) < len(allowed):
            fix = "set oidc or jwt, and have each Allow rule of authorization ask for the claim acr or amr"
            yield f" lets in an administrator with a password alone; {fix}"

    yield from once(edge.exposed("admin"), complaints)


def _asks_twice(rule: Manifest) -> bool:
    claims = {at(claim, "name") for claim in at(rule, "principal.jwt.claims", []) if at(claim, "values")}
    return bool(claims & set(_SECOND_FACTOR))


def _is_admin_gateway(manifest: Manifest) -> bool:
    return is_gateway(manifest) and exposure(manifest) == "admin"


AUTHENTICATION_RULES = (
    StackRule(
        name="route-authenticated",
        description="Every route from outside asks who it is, or is declared to be for everybody, by whom and why.",
        why="The route that somebody forgot to protect is found by those who try all paths.",
        box="authentication",
        controls=("owasp-api:API2",),
        about=is_route,
        severity="critical",
        check=_authenticated,
    ),
    Rule(
        name="edge-sound-tokens",
        description="Tokens are believed from a named issuer, for this platform, by public keys fetched through TLS.",
        why="A token made for another service, or by a key that the client has too, lets in whoever makes one.",
        box="authentication",
        controls=("owasp-api:API2",),
        about=kinds("SecurityPolicy"),
        severity="high",
        check=_sound,
    ),
    StackRule(
        name="route-admin-second-factor",
        description="What is for administrators asks for a second factor, besides the VPN.",
        why="A laptop in the VPN with a password saved in its browser is all it takes otherwise.",
        box="authentication",
        about=_is_admin_gateway,
        severity="high",
        check=_second_factor,
    ),
    StackRule(
        name="route-authorized",
        description="A route that asks who it is lets in those with a scope or a claim, and nobody else.",
        why="Anybody can make an account; what is behind the route is not for anybody.",
        box="authorization",
        controls=("owasp-api:API5",),
        about=is_route,
        severity="high",
        check=_authorized,
    ),
)
