"""Response: the responder acts on each critical detection, can be stopped, and its evidence is where nobody can change it.

It is told what to do by `responder.yaml`, from a ConfigMap:

    dryRun: false
    runbook: https://runbooks.example/responder
    stop: {configMap: responder-stop}       # while it says `stop: "true"`, nothing is done
    limits: {perMinute: 6}
    actions: [{rule: Terminal shell in container, action: quarantine}]
    evidence: {bucket: evidence, endpoint: https://objects, lock: GOVERNANCE, retentionDays: 365}
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

from policies.alerts import delivered
from policies.falco import SEVERITIES, priority, sensors
from policies.programs import Program, of, programs
from policies.rule import Manifest, Rule, StackRule, at, namespace_of
from policies.selectors import matcher

Stack = Sequence[Manifest]

ACTIONS = ("quarantine", "evict", "snapshot", "notify")
_FASTEST = 60
_LOCKS = ("GOVERNANCE", "COMPLIANCE")
_YEAR = 365
_ENTRIES = ("pods/exec", "pods/attach", "pods/ephemeralcontainers", "pods/*", "*")
_ENTERED = r"exec|attach|ephemeral"
_SHELL = "Terminal shell in container"


def _told(program: Program) -> Any:
    return program.file("responder.yaml") or {}


def _each(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    found = {name: rule for sensor in sensors(manifests) for name, rule in sensor.detections().items()}
    critical = [name for name, rule in found.items() if SEVERITIES[priority(rule)] == "critical"]
    for program in programs(manifests, "responder"):
        actions = at(_told(program), "actions", [])
        named = [at(each, "rule") for each in actions]
        for name in sorted(critical):
            if named.count(name) != 1:
                yield program.of, f"actions has not one action for the detection {name!r}; give it exactly one"
        for index, each in enumerate(actions):
            if at(each, "action") not in ACTIONS:
                yield program.of, f"actions[{index}].action is none of {', '.join(ACTIONS)}; choose one"
            if at(each, "rule") not in found:
                yield (
                    program.of,
                    f"actions[{index}].rule is no detection in force; name one of Falco's rules, or take it away",
                )


def _acts(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "responder"):
        said = [program.variable("DRY_RUN"), *program.option("--dry-run")]
        if at(_told(program), "dryRun") is not False or any(
            f"{each}".lower() not in ("none", "false") for each in said
        ):
            yield (
                program.of,
                "dryRun is not off and nothing is done; set dryRun: false, with no DRY_RUN and no --dry-run",
            )
        limit = at(_told(program), "limits.perMinute", 0)
        if not isinstance(limit, int) or limit is True or not 1 <= limit <= _FASTEST:
            yield program.of, f"limits.perMinute does not bound what it does; set a number from 1 to {_FASTEST}"


def _stoppable(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "responder"):
        namespace = namespace_of(program.of)
        inside = [each for each in manifests if namespace_of(each) == namespace]
        switches = {at(each, "metadata.name") for each in inside if at(each, "kind") == "ConfigMap"}
        if at(_told(program), "stop.configMap") not in switches:
            yield program.of, "stop.configMap is no ConfigMap of its namespace; add one that stops it, and name it"
        if not str(at(_told(program), "runbook", "")).startswith("https://"):
            yield program.of, "runbook is missing; set the address of what to do when it did the wrong thing"
        if not at(program.pod, "priorityClassName"):
            yield program.of, "priorityClassName is missing and it is evicted first; set one"
        labels: Manifest = at(program.of, "spec.template.metadata.labels", {})
        budgets = [each for each in inside if at(each, "kind") == "PodDisruptionBudget"]
        if not any(at(each, "spec.selector") and matcher(at(each, "spec.selector"))(labels) for each in budgets):
            yield (
                program.of,
                "labels are selected by no PodDisruptionBudget; add one, so that a drain leaves one running",
            )


def _locked(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "responder"):
        evidence = at(_told(program), "evidence", {})
        if not at(evidence, "bucket") or not str(at(evidence, "endpoint", "")).startswith("https://"):
            yield (
                program.of,
                "evidence.bucket has no place that is reached by HTTPS; set bucket, and endpoint: https://",
            )
        if at(evidence, "lock") not in _LOCKS:
            yield program.of, f"evidence.lock is none of {', '.join(_LOCKS)}; set one, or evidence can be deleted"
        days = at(evidence, "retentionDays", 0)
        if not isinstance(days, int) or days < _YEAR:
            yield program.of, f"evidence.retentionDays is less than a year; set {_YEAR} or more"


def _enters(manifest: Manifest) -> bool:
    """Return whether a role lets somebody into a running container."""
    if at(manifest, "kind") not in ("Role", "ClusterRole"):
        return False
    for rule in at(manifest, "rules", []):
        acts = {"create", "update", "patch", "get", "*"} & set(at(rule, "verbs", []))
        if acts and set(_ENTRIES) & set(at(rule, "resources", [])) and {"", "*"} & set(at(rule, "apiGroups", [])):
            return True
    return False


def _watched(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    roles = {(at(each, "kind"), at(each, "metadata.name")): each for each in manifests if _enters(each)}
    for manifest in manifests:
        if at(manifest, "kind") in ("RoleBinding", "ClusterRoleBinding"):
            role = (at(manifest, "roleRef.kind"), at(manifest, "roleRef.name"))
            if role in roles and not _is_day(at(manifest, "metadata.annotations", {}).get("expires")):
                yield (
                    manifest,
                    "metadata.annotations.expires is no day; set the day on which the right to enter pods ends",
                )
    seen = any(_SHELL in sensor.detections() for sensor in sensors(manifests))
    if not seen or not delivered(manifests, _ENTERED):
        for role in roles.values():
            fix = f"add Falco's rule {_SHELL!r}, and an alert on exec, attach and ephemeral containers that comes to somebody"
            yield role, f"rules let somebody into a container unwatched; {fix}"


def _is_day(text: Any) -> bool:
    try:
        return bool(date.fromisoformat(f"{text}"))
    except ValueError:
        return False


def _correlated(manifest: Manifest) -> Iterator[str]:
    for index, setting in enumerate(at(manifest, "spec.telemetry.accessLog.settings", [])):
        said = at(setting, "format.json") or at(setting, "format.text")
        if said is not None and "X-REQUEST-ID" not in f"{said}".upper():
            path = f"spec.telemetry.accessLog.settings[{index}].format"
            yield f"{path} has no identifier of the request; add %REQ(X-REQUEST-ID)%"


def _has_format(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "EnvoyProxy" and bool(at(manifest, "spec.telemetry.accessLog.settings"))


RESPONSE_RULES: tuple[Rule | StackRule, ...] = (
    StackRule(
        name="response-each-detection",
        description="Each critical detection has exactly one action, and each action a detection that there is.",
        why="The detection that was renamed last month has no action any more, and nobody noticed.",
        box="automated-response",
        severity="high",
        about=of("responder"),
        check=_each,
    ),
    StackRule(
        name="response-acts",
        description="The responder does what it says, and only so often a minute.",
        why="In its dry run it reports that an intruder was shut out; without a bound, noise shuts out everything.",
        box="automated-response",
        severity="high",
        about=of("responder"),
        check=_acts,
    ),
    StackRule(
        name="response-stoppable",
        description="The responder can be stopped by a person, keeps running otherwise, and has a runbook.",
        why="A responder that is wrong takes down the platform faster than any attacker, and nobody knows where its switch is.",
        box="automated-response",
        severity="medium",
        about=of("responder"),
        check=_stoppable,
    ),
    StackRule(
        name="evidence-locked",
        description="Evidence goes, encrypted, to a bucket where it is locked for a year.",
        why="Who can reach the responder deletes what it collected; what can be changed proves nothing.",
        box="forensics",
        severity="high",
        about=of("responder"),
        check=_locked,
    ),
    StackRule(
        name="forensics-entry-watched",
        description="The right to enter a container ends on a day, and somebody is told when it is used.",
        why="An account for emergencies is the best account to steal: it is always there and nobody wonders when it is used.",
        box="forensics",
        severity="high",
        controls=("nsa:C-0002",),
        about=_enters,
        check=_watched,
    ),
    Rule(
        name="log-request-identifier",
        description="The gateway's log has the identifier that the request is known by everywhere else.",
        why="Without it nobody can tell which line of the database's log belongs to which visitor.",
        box="forensics",
        severity="low",
        about=_has_format,
        check=_correlated,
    ),
)
