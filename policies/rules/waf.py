"""The web application firewall: every public route is behind one that refuses, by all of its rules."""

import re
from collections.abc import Iterator, Sequence

from policies.containers import containers, has_pods
from policies.edge import OPAQUE_ROUTES, ROUTES, Edge, Route, exposure, once
from policies.rule import Manifest, Rule, StackRule, at, identity, kinds
from policies.seclang import exclusions, included, refuses, setting, variable
from policies.web_firewalls import behind_one, is_web_firewall, web_firewalls

LARGEST_BODY = 13107200
"""In bytes: what the Core Rule Set's own configuration reads of a request."""

_RAW = ("EnvoyPatchPolicy", "EnvoyFilter")
_MADE = "spec.provider.kubernetes"
_PATCHES = tuple(f"{_MADE}.{part}.patch" for part in ("envoyDeployment", "envoyDaemonSet", "envoyService"))
_RAW_FIELDS = ("spec.lua", "spec.bootstrap", "spec.extraArgs", *_PATCHES)
_SNIPPETS = re.compile(r"(?:snippet|/(?:auth-|server-)?alias$|lua|modsecurity-snippet)")
_RETIRED = re.compile(
    r"(?:^|/)(?:ingress-nginx/controller|nginx-ingress-controller|ingress-nginx)(?:-chroot)?(?:[:@]|$)"
)


def _behind(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        if not behind_one(route, edge, manifests):
            yield " reaches its backend past the WAF; lead it to the WAF, or put an EnvoyExtensionPolicy with one in force"

    yield from once(edge.exposed("public"), complaints)
    public = {identity(gateway) for gateway in edge.gateways if exposure(gateway) == "public"}
    for route in (each for kind in OPAQUE_ROUTES for each in edge.of.get(kind, [])):
        for index, parent in enumerate(at(route, "spec.parentRefs", [])):
            if (at(parent, "namespace", identity(route)[0]), at(parent, "name")) in public:
                yield route, f"spec.parentRefs[{index}] is public, and no WAF can read its traffic; use an HTTPRoute"


def _blocking(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for firewall in web_firewalls(manifests):
        if not refuses(firewall.directives):
            yield firewall.object, f"{firewall.path} does not refuse what it finds; set SecRuleEngine On"
    for manifest in manifests:
        if at(manifest, "kind") == "EnvoyExtensionPolicy":
            for sort in ("wasm", "extProc"):
                for index, used in enumerate(at(manifest, f"spec.{sort}", [])):
                    for field in ("failOpen", "shadowMode"):
                        if at(used, field):
                            path = f"spec.{sort}[{index}].{field}"
                            yield manifest, f"{path} lets everything in when the filter fails; set it to false"


def _core_rules(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for firewall in web_firewalls(manifests):
        told, path = firewall.directives, firewall.path
        if not (firewall.core or included(told)):
            yield firewall.object, f"{path} has no Core Rule Set, or not all of it; include @owasp_crs/*.conf"
        if variable(told, "blocking_paranoia_level", "paranoia_level") == 0:
            yield firewall.object, f"{path} is at no paranoia level; set it to 1 at least"
        for most, way in ((5, "inbound"), (4, "outbound")):
            if (variable(told, f"{way}_anomaly_score_threshold") or most) > most:
                yield firewall.object, f"{path} refuses at too high an {way} score; set the threshold to {most} at most"
        limit = setting(told, "SecRequestBodyLimit")
        if setting(told, "SecRequestBodyAccess") != "on" or not 0 < int(limit or 0) <= LARGEST_BODY:
            fix = f"set SecRequestBodyAccess On and SecRequestBodyLimit to {LARGEST_BODY} at most"
            yield firewall.object, f"{path} does not read request bodies, or any length of them; {fix}"
        if setting(told, "SecRequestBodyLimitAction") == "processpartial":
            yield (
                firewall.object,
                f"{path} lets in what is behind the limit of a body; set SecRequestBodyLimitAction Reject",
            )


def _no_blanket(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for firewall in web_firewalls(manifests):
        for reason in exclusions(firewall.directives):
            yield (
                firewall.object,
                f"{firewall.path} has an exclusion too wide: {reason}; exclude single rules or arguments",
            )


def _raw(manifest: Manifest) -> Iterator[str]:
    kind = at(manifest, "kind")
    if kind in _RAW:
        yield f"kind {kind} changes the proxy past every other rule; say it with a policy of the gateway"
    for key in at(manifest, "metadata.annotations", {}):
        if kind == "Ingress" and _SNIPPETS.search(key):
            yield "metadata.annotations has a snippet of the proxy's own configuration; remove it"
    for path in _RAW_FIELDS:
        if at(manifest, path):
            yield f"{path} changes the proxy past every other rule; remove it"


def _retired(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if _RETIRED.search(at(container.spec, "image", "")):
            yield f"{container.path}.image gets no more corrections since March 2026; use Envoy Gateway"


WAF_RULES = (
    StackRule(
        name="waf-on-every-route",
        description="Every public route goes through a web application firewall.",
        why="The one path that is not looked at is where the injection is tried.",
        box="waf",
        controls=("pci:6.4.2",),
        about=kinds(*ROUTES, *OPAQUE_ROUTES),
        severity="critical",
        check=_behind,
    ),
    StackRule(
        name="waf-blocking",
        description="A web application firewall refuses what it finds, and everything when it fails.",
        why="One that only writes down what it saw, or that steps aside under load, stops nobody.",
        box="waf",
        controls=("pci:6.4.2",),
        about=lambda manifest: is_web_firewall(manifest) or at(manifest, "kind") == "EnvoyExtensionPolicy",
        severity="critical",
        check=_blocking,
    ),
    StackRule(
        name="waf-core-rules",
        description="A web application firewall has the whole Core Rule Set, reads bodies, and refuses at its usual scores.",
        why="With thresholds twice as high, or bodies unread, an attack has to be only a little less plain to get through.",
        box="waf",
        about=is_web_firewall,
        severity="high",
        check=_core_rules,
    ),
    StackRule(
        name="waf-no-blanket-exclusion",
        description="What a web application firewall leaves out are single rules or arguments.",
        why="An exclusion for one false alarm that takes away a range of rules also lets in all that those were for.",
        box="waf",
        about=is_web_firewall,
        severity="high",
        check=_no_blanket,
    ),
    Rule(
        name="edge-no-raw-configuration",
        description="Nothing patches the proxy's own configuration.",
        why="A snippet or a patch takes away filters that the policies put there, and none of these rules sees it.",
        box="waf",
        controls=("checkov:CKV_K8S_152", "checkov:CKV_K8S_153", "checkov:CKV_K8S_154", "nsa:C-0059"),
        about=kinds("Ingress", "EnvoyExtensionPolicy", "EnvoyProxy", *_RAW),
        severity="high",
        check=_raw,
    ),
    Rule(
        name="edge-no-retired-controller",
        description="No ingress controller runs that gets no more corrections.",
        why="It faces the Internet; the next flaw in it stays open.",
        box="waf",
        controls=("nsa:C-0292", "nsa:C-0059"),
        about=has_pods,
        severity="high",
        check=_retired,
    ),
)
