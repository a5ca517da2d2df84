"""Alerts: each says what to do, is loaded, and comes to somebody; and somebody notices when there are none."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

from policies.alert_routes import may_tell, native
from policies.alerts import Alert, Tree, alerts, alerts_of, has_rules, routes, watched
from policies.durations import seconds
from policies.programs import parsed, programs, service, services
from policies.rule import THE_STACK, Manifest, Rule, StackRule, Unreadable, at, kinds, namespace_of
from policies.selectors import matcher

_SEVERITIES = ("critical", "warning", "info", "none")
_HEARTBEAT = re.compile(r"^\(?vector\(\d+\)\)?$")
_LONGEST = {"critical": 3600.0}
_SELECTORS = {"PrometheusRule": "rule", "ServiceMonitor": "serviceMonitor", "PodMonitor": "podMonitor"}
_DROPPING = ("drop", "keep", "dropequal", "keepequal")
_CREDENTIAL = re.compile(r"(password|secret|token|credentials|_key|slack_api_url|webhook_url)$")

Stack = Sequence[Manifest]


def _described(manifest: Manifest) -> Iterator[str]:
    for alert in alerts_of(manifest):
        severity, path = alert.labels.get("severity"), alert.path
        if severity not in _SEVERITIES:
            yield f"{path}.labels.severity is none of {', '.join(_SEVERITIES)}; set how bad it is"
        if not alert.labels.get("team"):
            yield f"{path}.labels.team is missing; name the team whose alert it is"
        for key in ("summary", "runbook_url"):
            if not at(alert.rule, f"annotations.{key}"):
                yield f"{path}.annotations.{key} is missing; add it, for whoever is woken by it"
        if not alert.expression:
            yield f"{path}.expr is empty; write what makes it fire"
        if not _HEARTBEAT.match(alert.expression):
            yield from _waiting(alert, str(severity))


def _waiting(alert: Alert, severity: str) -> Iterator[str]:
    wait = at(alert.rule, "for")
    if wait is None:
        yield f"{alert.path}.for is missing; say for how long it must hold, 0s if a moment is enough"
    elif seconds(str(wait)) > _LONGEST.get(severity, 86400.0):
        yield f"{alert.path}.for is longer than anybody can wait; make it an hour at most for a critical one, a day for others"


def _loaded(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    servers = [each for each in manifests if at(each, "kind") == "Prometheus" and at(each, "spec.replicas", 1)]
    for manifest in manifests:
        part = _SELECTORS.get(at(manifest, "kind"))
        if part and not any(_selected(manifest, server, part, manifests) for server in servers):
            yield manifest, f"metadata.labels are selected by no Prometheus; set its spec.{part}Selector, {{}} for all"
        for program, holds in (("prometheus", has_rules), ("alertmanager", _configures)):
            if at(manifest, "kind") == "ConfigMap" and holds(manifest) and not _mounted(manifest, program, manifests):
                yield manifest, f"data is read by no {program}; mount it there, or say it in the operator's own objects"


def _mounted(manifest: Manifest, program: str, manifests: Stack) -> bool:
    texts = list(at(manifest, "data", {}).values())
    return any(
        text is each for found in programs(manifests, program) for each in found.files.values() for text in texts
    )


def _is_loaded(manifest: Manifest) -> bool:
    kind = at(manifest, "kind")
    return kind in _SELECTORS or (kind == "ConfigMap" and (has_rules(manifest) or _configures(manifest)))


def _selected(manifest: Manifest, server: Manifest, part: str, manifests: Stack) -> bool:
    selector = at(server, f"spec.{part}Selector")
    if selector is None or not matcher(selector)(at(manifest, "metadata.labels", {})):
        return False
    return watched(manifest, at(server, f"spec.{part}NamespaceSelector"), namespace_of(server), manifests)


def _connected(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    there = services(manifests)
    for manifest in manifests:
        if at(manifest, "kind") == "Prometheus":
            namespace, told = namespace_of(manifest), at(manifest, "spec.alerting.alertmanagers", [])
            if not any((at(each, "namespace", namespace), at(each, "name")) in there for each in told):
                yield manifest, "spec.alerting.alertmanagers has no Service of the stack; name its Alertmanager's"


def _unfiltered(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "spec.additionalAlertRelabelConfigs"):
        yield "spec.additionalAlertRelabelConfigs may drop alerts, and is in a Secret; say it in alertRelabelings"
    for index, told in enumerate(at(manifest, "spec.alerting.alertmanagers", [])):
        for part in ("relabelings", "alertRelabelings"):
            for number, each in enumerate(at(told, part, [])):
                if str(at(each, "action", "replace")).lower() in _DROPPING:
                    path = f"spec.alerting.alertmanagers[{index}].{part}[{number}]"
                    yield f"{path} drops alerts before they are routed; take it away, and route them to who wants them"


def _delivered(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    trees = list(routes(manifests))
    for alert in alerts(manifests):
        if not any(tree.delivers(alert.labels) for tree in trees):
            what = "may come to nobody: a route for it has no receiver with an integration that works, or is silent"
            yield alert.of, f"{alert.path} {what}; route it to one that tells somebody"


def _heartbeat(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    trees, everything = list(routes(manifests)), alerts(manifests)
    beats = [alert for alert in everything if _HEARTBEAT.match(alert.expression)]
    paged = [alert for alert in everything if alert.labels.get("severity") == "critical"]
    if not any(tree.delivers(beat.labels) and _apart(tree, beat, paged) for tree in trees for beat in beats):
        what = "has no alert that always fires and has a receiver of its own"
        yield THE_STACK, f"monitoring {what}; add one with expr: vector(1), and route it to a service that misses it"


def _apart(tree: Tree, beat: Alert, paged: Sequence[Alert]) -> bool:
    own = may_tell(tree.root, beat.labels)
    return not any(own & may_tell(tree.root, alert.labels) for alert in paged)


def _silenced(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    trees, everything = list(routes(manifests)), alerts(manifests)
    # What an expression of a number alone makes has no labels but the rule's.
    beats = [alert.labels for alert in everything if _HEARTBEAT.match(alert.expression)]
    for alert in everything:
        labels = alert.labels
        inhibitions = [each for tree in trees for each in tree.inhibitions] if labels not in beats else []
        if any(each.may_silence(beat, labels) for each in inhibitions for beat in beats):
            fix = "let no inhibition have that as its source"
            yield alert.of, f"{alert.path} may be silenced by one that always fires; {fix}"
        blunt = any(not each.equal and each.may_hit(labels) for each in inhibitions)
        if labels.get("severity") == "critical" and blunt:
            fix = "say in equal what both have"
            yield alert.of, f"{alert.path} may be silenced by one that has nothing to do with it; {fix}"


def _configures(manifest: Manifest) -> bool:
    if at(manifest, "kind") == "ConfigMap":
        return any(re.match(r"^alertmanager\.ya?ml$", key) for key in at(manifest, "data", {}))
    return at(manifest, "kind") == "AlertmanagerConfig"


def _kept_secret(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "kind") == "AlertmanagerConfig":
        given = {"spec": native(at(manifest, "spec", {}))}
    else:
        given = {f"data.{key}": parsed(text) for key, text in at(manifest, "data", {}).items() if "alertmanager" in key}
    for place in (found for path, config in given.items() for found in _inline(config, path)):
        yield f"{place} is a credential in plain text; put it in a Secret and name that, or the file it is mounted as"


def _inline(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in cast("Manifest", value).items():
            place = f"{path}.{key}"
            if isinstance(inner, str) and inner and _is_credential(place, key, inner):
                yield place
            if key not in ("name", "key"):  # which Secret it is, and where in it
                yield from _inline(inner, place)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _inline(inner, f"{path}[{index}]")
    elif isinstance(value, Unreadable):
        value.read()


def _is_credential(place: str, key: str, value: str) -> bool:
    in_address = re.match(r"\w+://[^/@]+:[^/@]+@", value) is not None
    # A hook outside the cluster is known by its address alone: who has that can speak in its name.
    hook = key == "url" and "webhook_configs" in place and service(value, "default") is None
    return _CREDENTIAL.search(key) is not None or in_address or hook or (key == "api_url" and "slack_configs" in place)


ALERT_RULES: tuple[Rule | StackRule, ...] = (
    Rule(
        name="alert-described",
        description="An alert has a severity, a team, a summary, a runbook and a time for which it must hold.",
        why="Whoever is woken by it at night knows neither whose it is nor what to do; one that waits for days wakes nobody.",
        box="security-monitoring",
        severity="medium",
        about=has_rules,
        check=_described,
    ),
    StackRule(
        name="alert-rule-loaded",
        description="What says what to measure and when to alert is selected by a Prometheus.",
        why="A rule with the wrong label is accepted by the cluster and never evaluated: it looks like a quiet night.",
        box="security-monitoring",
        severity="high",
        about=_is_loaded,
        check=_loaded,
    ),
    StackRule(
        name="alert-manager-connected",
        description="A Prometheus sends its alerts to an Alertmanager of the stack.",
        why="Without one, alerts fire on a page that nobody looks at.",
        box="security-monitoring",
        severity="high",
        about=kinds("Prometheus"),
        check=_connected,
    ),
    Rule(
        name="alert-not-dropped",
        description="A Prometheus sends every alert that fires.",
        why="One line that drops what has some label, and alerts fire on its page while every route looks right.",
        box="security-monitoring",
        severity="high",
        about=kinds("Prometheus"),
        check=_unfiltered,
    ),
    StackRule(
        name="alert-delivered",
        description="Every alert comes to a receiver that tells somebody, whatever labels its expression adds.",
        why="A route to nobody, put before the others for one noisy alert, swallows those that were not thought of.",
        box="security-monitoring",
        severity="high",
        about=has_rules,
        check=_delivered,
    ),
    StackRule(
        name="alert-heartbeat",
        description="An alert that always fires comes to a receiver of its own, which notices when it stops.",
        why="When Prometheus or Alertmanager is down, or cut off by an attacker, silence looks like health.",
        box="security-monitoring",
        severity="high",
        about=has_rules,
        check=_heartbeat,
    ),
    StackRule(
        name="alert-not-silenced",
        description="No alert is silenced by one that always fires, and no critical one by any that has nothing in common with it.",
        why="One line that inhibits by the heartbeat, and no critical alert is sent again, while every route looks right.",
        box="security-monitoring",
        severity="high",
        about=has_rules,
        check=_silenced,
    ),
    Rule(
        name="alert-receiver-secret",
        description="The credentials of an alert's receivers are in Secrets.",
        why="Who reads the address of a hook or a key from a ConfigMap can send false alarms until nobody believes them.",
        box="security-monitoring",
        severity="high",
        about=_configures,
        check=_kept_secret,
    ),
)
