"""Alerts and where they go: the rules of Prometheus, and the trees of Alertmanager with those they tell."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from policies.alert_routes import INTERVALS, Inhibition, Route, matchers, native, outcomes, read, silent
from policies.programs import Objects, parsed, service, services
from policies.rule import Manifest, Unreadable, at, identity, namespace_of
from policies.running import NAMESPACE_NAME, namespace_labels
from policies.selectors import matcher

_RULES = re.compile(r"(^|[._-])(rules|alerts|alerting)([._-].*)?\.(ya?ml|json)$")
_CONFIGURATION = re.compile(r"^alertmanager\.ya?ml$")
_HIDDEN = "a secret that hides the routes; an AlertmanagerConfig that spec.alertmanagerConfiguration names shows them"
_TARGETS: Mapping[str, tuple[str, ...]] = {
    "webhook_configs": ("url", "url_file", "url_secret"),
    "email_configs": ("to",),
    "pagerduty_configs": ("routing_key", "routing_key_file", "service_key", "service_key_file"),
    "slack_configs": ("api_url", "api_url_file", "app_token", "app_token_file"),
}
"""What an integration needs to tell anyone anything; of the others, that it is there is enough."""


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule: the object and the place it is in, itself, and the labels it is known to have."""

    of: Manifest
    path: str
    rule: Manifest
    labels: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return its name."""
        return str(at(self.rule, "alert"))

    @property
    def expression(self) -> str:
        """Return the expression that makes it fire, on one line."""
        return " ".join(str(at(self.rule, "expr", "")).split())


@dataclass(frozen=True, slots=True)
class Tree:
    """The routes of one Alertmanager: the object that says them, the tree, and those of its receivers that tell somebody."""

    of: Manifest
    root: Route
    real: frozenset[str]
    inhibitions: Sequence[Inhibition]

    def delivers(self, labels: Mapping[str, str]) -> bool:
        """Return whether an alert with these labels, and perhaps others, comes to somebody whatever the others are.

        Of a critical one, at any time of day.
        """
        always = labels.get("severity") == "critical"

        def told(route: Route) -> str:
            heard = route.receiver in self.real and not route.mute and not (always and route.times)
            return "somebody" if heard else "nobody"

        return not self.root.matchers and all("somebody" in each for each in outcomes(self.root, labels, told=told))


def has_rules(manifest: Manifest) -> bool:
    """Return whether an object holds rules of Prometheus."""
    if at(manifest, "kind") == "ConfigMap":
        return any(_RULES.search(key) for key in at(manifest, "data", {}))
    return at(manifest, "kind") == "PrometheusRule"


def alerts(manifests: Objects) -> list[Alert]:
    """Return every alerting rule, of PrometheusRules and of the rule files in ConfigMaps."""
    return [alert for manifest in manifests if has_rules(manifest) for alert in alerts_of(manifest)]


def alerts_of(manifest: Manifest) -> Iterator[Alert]:
    """Yield the alerting rules of one object."""
    if at(manifest, "kind") == "PrometheusRule":
        yield from _grouped(manifest, "spec.groups", at(manifest, "spec.groups", []))
        return
    for key, text in at(manifest, "data", {}).items():
        if _RULES.search(key):
            content = parsed(text)
            if isinstance(content, dict):
                yield from _grouped(manifest, f"data.{key}.groups", at(content, "groups", []))


def delivered(manifests: Objects, text: str, *, severity: tuple[str, ...] = ("critical", "warning")) -> list[Alert]:
    """Return the alerts whose expression holds a regular expression, and that somebody is told of."""
    trees = list(routes(manifests))
    found = [alert for alert in alerts(manifests) if re.search(text, alert.expression)]
    return [
        alert
        for alert in found
        if alert.labels.get("severity") in severity and any(tree.delivers(alert.labels) for tree in trees)
    ]


def routes(manifests: Objects) -> Iterator[Tree]:
    """Yield the tree of each Alertmanager; raise UnreadableError if one's is in a Secret."""
    there = services(manifests)
    for manifest in manifests:
        if at(manifest, "kind") == "Alertmanager" and at(manifest, "spec.replicas", 1):
            yield _tree(manifest, _operated(manifest, manifests), there)
        for key, text in at(manifest, "data", {}).items() if at(manifest, "kind") == "ConfigMap" else ():
            if _CONFIGURATION.match(key):
                yield _tree(manifest, parsed(text), there)


def integrations(receiver: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield each integration of a receiver, with its sort."""
    for sort, each in receiver.items():
        if sort.endswith("_configs"):
            if isinstance(each, Unreadable):
                each.read()
            yield from ((sort, one) for one in cast("list[Manifest]", each or []))


def _grouped(manifest: Manifest, path: str, groups: Any) -> Iterator[Alert]:
    for index, group in enumerate(groups):
        for number, rule in enumerate(at(group, "rules", [])):
            if at(rule, "alert") is not None:
                labels: Manifest = {**at(group, "labels", {}), **at(rule, "labels", {}), "alertname": at(rule, "alert")}
                # What a template makes of a label is not known here.
                known = {key: str(value) for key, value in labels.items() if "{{" not in str(value)}
                yield Alert(manifest, f"{path}[{index}].rules[{number}]", rule, known)


def _operated(manifest: Manifest, manifests: Objects) -> Manifest:
    """Return the configuration that the operator makes for an Alertmanager."""
    namespace, name = identity(manifest)
    configs = [each for each in manifests if at(each, "kind") == "AlertmanagerConfig"]
    whole = at(manifest, "spec.alertmanagerConfiguration.name")
    if whole is None:
        secret = at(manifest, "spec.configSecret", f"alertmanager-{name}")
        if at(manifest, "spec.configSecret") or any(_is(each, "Secret", namespace, secret) for each in manifests):
            Unreadable("spec.configSecret", _HIDDEN).read()
        # Without either, the operator begins with a route to nobody.
        base: Manifest = {"route": {"receiver": ""}, "receivers": []}
    else:
        found = [native(at(each, "spec")) for each in configs if _is(each, "AlertmanagerConfig", namespace, whole)]
        base = found[0] if found else {}
    chosen = [each for each in configs if _chosen(each, manifest, namespace, manifests)]
    return _with(base, [_own(each, manifest, namespace) for each in chosen])


def _with(base: Manifest, added: list[Manifest]) -> Manifest:
    """Return a configuration with others' routes before its own, as the operator puts them there."""
    first = [at(each, "route") for each in added if at(each, "route")]
    route: Manifest = at(base, "route", {})
    receivers = [receiver for each in (base, *added) for receiver in at(each, "receivers", [])]
    times = [each for said in (base, *added) for key in INTERVALS for each in at(said, key, [])]
    routes = [*first, *at(route, "routes", [])]
    return {**base, "route": {**route, "routes": routes}, "receivers": receivers, INTERVALS[0]: times}


def _own(config: Manifest, manifest: Manifest, namespace: str) -> Manifest:
    """Return what an AlertmanagerConfig adds: its route, of the alerts of its namespace, after which others are asked."""
    own = namespace_of(config)
    name = f"{own}/{at(config, 'metadata.name')}"
    said: Manifest = native(at(config, "spec", {}))
    strategy = at(manifest, "spec.alertmanagerConfigMatcherStrategy.type", "OnNamespace")
    limited = strategy == "OnNamespace" or (strategy != "None" and own != namespace)
    matcher = [{"name": "namespace", "match_type": "=", "value": own}] if limited else []
    route: Manifest = at(said, "route", {})
    if route:
        route = {**_renamed(route, name), "matchers": [*at(route, "matchers", []), *matcher], "continue": True}
    receivers = [{**each, "name": f"{name}/{at(each, 'name')}"} for each in at(said, "receivers", [])]
    return {**said, "route": route, "receivers": receivers}


def _renamed(route: Manifest, prefix: str) -> Manifest:
    """Return a route whose receivers have names of their own among those of other objects."""
    inner = [_renamed(each, prefix) for each in at(route, "routes", [])]
    name = at(route, "receiver")
    return {**route, "routes": inner, **({"receiver": f"{prefix}/{name}"} if name else {})}


def _chosen(config: Manifest, manifest: Manifest, namespace: str, manifests: Objects) -> bool:
    selector = at(manifest, "spec.alertmanagerConfigSelector")
    if selector is None or not matcher(selector)(at(config, "metadata.labels", {})):
        return False
    return watched(config, at(manifest, "spec.alertmanagerConfigNamespaceSelector"), namespace, manifests)


def watched(manifest: Manifest, selector: Any, namespace: str, manifests: Objects) -> bool:
    """Return whether an operator's selector of namespaces selects an object's; with none, it watches its own `namespace`."""
    own = namespace_of(manifest)
    if selector is None:
        return own == namespace
    names = [each for each in manifests if at(each, "kind") == "Namespace" and at(each, "metadata.name") == own]
    return matcher(selector)(namespace_labels(names[0]) if names else {NAMESPACE_NAME: own})


def _is(manifest: Manifest, kind: str, namespace: str, name: str) -> bool:
    own = namespace_of(manifest)
    return at(manifest, "kind") == kind and own == namespace and at(manifest, "metadata.name") == name


def _tree(manifest: Manifest, config: Any, there: set[tuple[str, str]]) -> Tree:
    receivers: dict[str, Manifest] = {at(each, "name", ""): each for each in at(config, "receivers", [])}
    namespace = namespace_of(manifest)
    settings = at(config, "global", {})
    real = {name for name, each in receivers.items() if _tells(each, settings, namespace, there)}
    inhibitions = [
        Inhibition(
            [*matchers(each, "source_")], [*matchers(each, "target_")], [str(label) for label in at(each, "equal", [])]
        )
        for each in at(config, "inhibit_rules", [])
    ]
    return Tree(manifest, read(at(config, "route", {}), silent=silent(config)), frozenset(real), inhibitions)


def _tells(receiver: Manifest, settings: Manifest, namespace: str, there: set[tuple[str, str]]) -> bool:
    return any(_works(sort, each, settings, namespace, there) for sort, each in integrations(receiver))


def _works(sort: str, given: Manifest, settings: Manifest, namespace: str, there: set[tuple[str, str]]) -> bool:
    """Return whether an integration has somebody to tell; one in the cluster must be there."""
    given = {"api_url": at(settings, "slack_api_url"), "api_url_file": at(settings, "slack_api_url_file"), **given}
    wanted = _TARGETS.get(sort)
    if wanted is not None and not any(at(given, key) for key in wanted):
        return False
    url = at(given, "url", "")
    if sort != "webhook_configs" or not url:
        return True
    if re.match(r"https?://(localhost|127\.|0\.|\[::)", url):
        return False
    inside = service(url, namespace)
    return inside is None or inside in there
