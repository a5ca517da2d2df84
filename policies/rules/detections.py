"""Detection: Falco sees what is asked of it on every node, and what it sees comes to people and to the responder."""

import re
from collections.abc import Iterator, Sequence

from policies.alerts import alerts, delivered, routes
from policies.falco import PRIORITIES, SEVERITIES, priority, sensors
from policies.programs import of, programs, service, services
from policies.rule import THE_STACK, Manifest, StackRule, at, namespace_of
from policies.rules.sensors import everywhere

Stack = Sequence[Manifest]

FLOOR = (
    "Terminal shell in container",
    "Drop and execute new binary in container",
    "Write below binary dir",
    "Detect release_agent File Container Escapes",
    "Read service account token",
    "Contact K8S API Server From Container",
    "Detect outbound connections to common miner pool ports",
    "Read sensitive file untrusted",
)
"""The detections that may not be missing, by the names that Falco's own rules have for them, where it has one."""

_COMPONENT = "app.kubernetes.io/component"
_ENDPOINT = "/api/v2/alerts"


def _floor(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for sensor in sensors(manifests):
        found = sensor.detections()
        for name in FLOOR:
            if name not in found:
                what = f"has no rule {name!r} in force from a ConfigMap of the stack"
                yield sensor.program.of, f"rules_files {what}; add it, enabled, and no priority in falco.yaml above it"


def _reaches(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    there, trees = services(manifests), list(routes(manifests))
    senders = list(programs(manifests, "falcosidekick"))
    least = len(PRIORITIES)
    for sender in senders:
        namespace = namespace_of(sender.of)
        for variable, whom in (("ALERTMANAGER_HOSTPORT", "Alertmanager"), ("WEBHOOK_ADDRESS", "the responder")):
            if service(f"{sender.variable(variable) or ''}", namespace) not in there:
                yield sender.of, f"env {variable} leads to no Service of the stack; set it to the address of {whom}"
        if f"{sender.variable('ALERTMANAGER_ENDPOINT')}" != _ENDPOINT:
            what = "is one that Alertmanager no longer has, which is the default"
            yield sender.of, f"env ALERTMANAGER_ENDPOINT {what}; set it to {_ENDPOINT}"
        for variable in ("ALERTMANAGER_MINIMUMPRIORITY", "WEBHOOK_MINIMUMPRIORITY"):
            given = f"{sender.variable(variable) or 'debug'}".lower()
            least = min(least, PRIORITIES.index(given) if given in PRIORITIES else 0)
    for sensor in sensors(manifests):
        if not senders:
            yield (
                sensor.program.of,
                "http_output is taken by no falcosidekick; add it, with Alertmanager and the responder behind",
            )
        for name, rule in sensor.detections().items():
            given = priority(rule)
            labels = {"alertname": "", "source": "falco", "rule": name, "priority": given.capitalize()}
            told = any(tree.delivers({**labels, "severity": SEVERITIES[given]}) for tree in trees)
            asked = name in FLOOR or SEVERITIES[given] == "critical"
            if asked and (not told or PRIORITIES.index(given) > least):
                fix = "raise its priority or lower the least one of falcosidekick, and route source=falco to somebody"
                yield sensor.program.of, f"rules_files has a rule {name!r} that comes to nobody; {fix}"


def _tested(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    runs = of("event-generator")
    tests = [
        each
        for each in manifests
        if at(each, "kind") == "CronJob"
        and at(each, "spec.suspend") is not True
        and (runs(each) or _is(each, "detection-test"))
    ]
    if not tests:
        fix = f"add a CronJob labelled {_COMPONENT}: detection-test that does what a detection looks for"
        yield THE_STACK, f"detection is never tried; {fix}"
    missing = [
        alert
        for alert in delivered(manifests, r"falco\w*_(events|rules_matches|rules_counters)\w*")
        if re.search(r"absent(_over_time)?\(|== *0|< *1\b", alert.expression)
    ]
    if not missing:
        yield (
            THE_STACK,
            "detection may stop unnoticed; add an alert for when the test's detection is absent, and route it",
        )


def _decoys(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    decoys = [each for each in manifests if at(each, "kind") in ("Secret", "Service") and _is(each, "decoy")]
    if not decoys:
        yield (
            THE_STACK,
            f"detection has no decoy; add a Secret or Service labelled {_COMPONENT}: decoy that nothing uses",
        )
    watched = [at(rule, "condition", "") for sensor in sensors(manifests) for rule in sensor.detections().values()]
    watched += [alert.expression for alert in alerts(manifests)]
    for decoy in decoys:
        name = at(decoy, "metadata.name")
        if not any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) for text in watched):
            yield decoy, "metadata.name is in no detection and no alert; add one that fires when somebody touches it"


def _is(manifest: Manifest, component: str) -> bool:
    return at(manifest, "metadata.labels", {}).get(_COMPONENT) == component


DETECTION_RULES: tuple[StackRule, ...] = (
    StackRule(
        name="detection-on-every-node",
        description="The runtime sensor runs on every node that anything can run on.",
        why="What runs on the one node that it leaves out is seen by nobody.",
        box="incident-detection",
        severity="high",
        about=of("falco"),
        check=everywhere("falco"),
    ),
    StackRule(
        name="detection-floor",
        description="The detections that may not be missing are in force, from rules of the stack's own.",
        why="A new image brings other rules, and one line disables the detection of a shell in a container.",
        box="incident-detection",
        severity="high",
        about=of("falco"),
        check=_floor,
    ),
    StackRule(
        name="detection-reaches-people",
        description="What the runtime sensor detects comes to somebody and to the responder, link by link.",
        why="One address that is wrong, or one route before the right one, and the intruder is detected for nobody.",
        box="incident-detection",
        severity="high",
        about=of("falco"),
        check=_reaches,
    ),
    StackRule(
        name="detection-tested",
        description="A job does regularly what a detection looks for, and somebody is told when it is not detected.",
        why="Detection fails silently: after a new kernel the sensor runs and sees nothing.",
        box="incident-detection",
        severity="medium",
        about=of("falco"),
        check=_tested,
    ),
    StackRule(
        name="detection-decoy",
        description="There is a decoy that nothing uses, and an alert for when it is touched.",
        why="An intruder looks around before doing harm; whoever touches what nobody needs is one.",
        box="incident-detection",
        severity="low",
        about=of("falco"),
        check=_decoys,
    ),
)
