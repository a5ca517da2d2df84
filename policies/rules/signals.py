"""What must have an alert once there is monitoring: each security signal, each public route, each thing whose silence is dangerous."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from policies.alerts import Alert, delivered, has_rules
from policies.containers import templates
from policies.programs import of
from policies.rule import Manifest, Rule, StackRule, at, kinds, namespace_of
from policies.selectors import matcher

Stack = Sequence[Manifest]
About = Callable[[Manifest], bool]

_GONE = r"absent(_over_time)?\(|\bup\b.*== *0|kube_(daemonset|deployment|statefulset)_status|kube_pod_"
_CLUSTER = re.compile(r'envoy_cluster_name *(=~|=) *"((?:[^"\\]|\\.)*)"')
_OBJECTIVES = {
    "errors": re.compile(r"_rq_xx\b.*5|_rq_[a-z0-9_]*5xx"),
    "latency": re.compile(r"_rq_time(_bucket)?\b"),
}


class Signal(NamedTuple):
    """Something that happens where there is an object of a sort, and what an alert's expression about it holds."""

    what: str
    about: About
    expression: str


def _named(kind: str, part: str) -> About:
    return lambda manifest: at(manifest, "kind") == kind and part in at(manifest, "metadata.name", "")


SIGNALS = (
    Signal("a certificate that runs out", kinds("Certificate"), r"certmanager_certificate_\w+"),
    Signal("a backup that is late", _named("CronJob", "backup"), r"backup"),
    Signal("logins that fail", kinds("SecurityPolicy"), r"jwt_authn|ext_auth|oauth|rbac|rq_xx?.*40[13]"),
    Signal("requests that the firewall refuses", of("modsecurity-crs"), r"modsecurity|\bwaf\b|waf_|rq_xx?.*403"),
    Signal("what admission refuses", kinds("ValidatingAdmissionPolicyBinding"), r"apiserver_validating_admission_\w+"),
    Signal("what the runtime sensor sees", of("falco"), r"falco\w*_(events|rules_matches|rules_counters)\w*"),
    Signal("what the network sensor sees", of("suricata"), r"suricata_\w*alert"),
)


def _signals(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for signal in SIGNALS:
        subject = next((each for each in manifests if signal.about(each)), None)
        if subject is not None and not delivered(manifests, signal.expression):
            fix = "add one, critical or a warning, whose expression reads its metric, and route it to somebody"
            yield subject, f"metadata.name has no alert for {signal.what}; {fix}"


def _objectives(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    found = {name: [*_by_text(manifests, text)] for name, text in _OBJECTIVES.items()}
    for manifest in manifests:
        if at(manifest, "kind") == "HTTPRoute" and any(
            at(rule, "backendRefs") for rule in at(manifest, "spec.rules", [])
        ):
            for name, those in found.items():
                if not any(_measures(alert, manifest) for alert in those):
                    yield (
                        manifest,
                        f"metadata.name has no alert on its {name}; add one over the gateway's envoy_cluster_ metrics",
                    )


def _by_text(manifests: Stack, text: re.Pattern[str]) -> list[Alert]:
    return delivered(manifests, text.pattern)


def _measures(alert: Alert, route: Manifest) -> bool:
    """Return whether an alert is about a route: its expression selects the cluster that Envoy Gateway makes of it, or any."""
    name = f"httproute/{at(route, 'metadata.namespace', 'default')}/{at(route, 'metadata.name')}/rule/0"
    selectors = _CLUSTER.findall(alert.expression)
    return all(
        value == name if operator == "=" else re.fullmatch(value.replace("\\\\", "\\"), name)
        for operator, value in selectors
    )


def _measured(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        for path, pod, metadata in templates(manifest):
            ports = [port for each in at(pod, "containers", []) for port in at(each, "ports", [])]
            if at(manifest, "kind") in ("Job", "CronJob") or not any(at(port, "name") == "metrics" for port in ports):
                continue
            labels: Manifest = at(metadata, "labels", {})
            namespace = namespace_of(manifest)
            if not any(_monitors(each, labels, namespace, manifests) for each in manifests):
                yield (
                    manifest,
                    f"{path}.containers has a port metrics that nothing reads; add a PodMonitor or ServiceMonitor",
                )


def _monitors(monitor: Manifest, labels: Manifest, namespace: str, manifests: Stack) -> bool:
    kind = at(monitor, "kind")
    if kind not in ("PodMonitor", "ServiceMonitor"):
        return False
    watched = [namespace_of(monitor), *at(monitor, "spec.namespaceSelector.matchNames", [])]
    if at(monitor, "spec.namespaceSelector.matchNames"):
        watched = watched[1:]
    if namespace not in watched and at(monitor, "spec.namespaceSelector.any") is not True:
        return False
    if kind == "PodMonitor":
        ends = at(monitor, "spec.podMetricsEndpoints", [])
        kept = [end for end in ends if at(end, "port") == "metrics" and not _drops_all(end)]
        return matcher(at(monitor, "spec.selector", {}))(labels) and bool(kept)
    ends = {at(end, "port") for end in at(monitor, "spec.endpoints", []) if not _drops_all(end)}
    return any(_leads(each, monitor, labels, namespace, ends) for each in manifests if at(each, "kind") == "Service")


def _drops_all(end: Manifest) -> bool:
    """Return whether nothing is left of what is read there: the target is dropped, or each of its series."""
    changes = [*at(end, "relabelings", []), *at(end, "metricRelabelings", [])]
    # Without a regular expression, everything matches.
    dropping = [each for each in changes if str(at(each, "action", "replace")).lower() == "drop"]
    return any(at(each, "regex", ".*") in (".*", "(.*)", ".+", "(.+)") for each in dropping)


def _leads(each: Manifest, monitor: Manifest, labels: Manifest, namespace: str, ends: set[object]) -> bool:
    """Return whether a Service that a monitor selects leads to the port of these pods."""
    if namespace_of(each) != namespace:
        return False
    wanted: Manifest = at(each, "spec.selector", {})
    if not wanted or not matcher({"matchLabels": wanted})(labels):
        return False
    ports = [port for port in at(each, "spec.ports", []) if at(port, "name") in ends]
    return bool(ports) and matcher(at(monitor, "spec.selector", {}))(at(each, "metadata.labels", {}))


def missed(*programs: str, gone: str = _GONE) -> Callable[[Stack], Iterator[tuple[Manifest, str]]]:
    """Return the check that somebody is told when any of some programs stops, or of what `gone` says instead."""
    sorts = [of(program) for program in programs]

    def check(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
        for manifest in manifests:
            if any(sort(manifest) for sort in sorts):
                said = {at(manifest, "metadata.name", "unnamed"), *_also(programs, sorts, manifest)}
                names = "|".join(re.escape(name).replace(r"\-", "[-_]") for name in said)
                told = [alert for alert in delivered(manifests, gone) if re.search(names, alert.expression)]
                if not told:
                    yield (
                        manifest,
                        "metadata.name has no alert for when it stops or fails; add one that names it, and route it",
                    )

    return check


def _also(programs: Sequence[str], sorts: Sequence[About], manifest: Manifest) -> Iterator[str]:
    """Yield those of the programs that an object runs."""
    return (program for program, sort in zip(programs, sorts, strict=True) if sort(manifest))


def _drills(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if _named("CronJob", "drill")(manifest) and at(manifest, "spec.suspend") is not True:
            name = re.escape(at(manifest, "metadata.name"))
            if not delivered(manifests, f"verified_restore|{name}"):
                yield (
                    manifest,
                    "metadata.name has no alert for when it fails or is late; add one, and route it to somebody",
                )


SIGNAL_RULES: tuple[Rule | StackRule, ...] = (
    StackRule(
        name="alert-security-signals",
        description="Each thing that shows an attack or a failing defence has an alert that comes to somebody.",
        why="A certificate runs out, a backup is late or a login is tried a thousand times, and it is on a dashboard only.",
        box="security-monitoring",
        severity="high",
        about=has_rules,
        check=_signals,
    ),
    StackRule(
        name="alert-route-objectives",
        description="Each route has an alert on the share of its errors and one on its latency.",
        why="Pods are ready and nodes are healthy while every request of one route fails.",
        box="security-monitoring",
        severity="medium",
        about=has_rules,
        check=_objectives,
    ),
    StackRule(
        name="monitor-reads-metrics",
        description="A pod with a port for metrics is read by a monitor.",
        why="What is not read has no alert, and nothing says that it is missing.",
        box="security-monitoring",
        severity="medium",
        about=kinds("Prometheus"),
        check=_measured,
    ),
    StackRule(
        name="sensor-down-alert",
        description="Somebody is told when a sensor stops.",
        why="Stopping the sensor is the first thing that an intruder does, and then there are no alerts at all.",
        box="intrusion-detection",
        severity="high",
        about=lambda manifest: of("falco")(manifest) or of("suricata")(manifest),
        check=missed("falco", "suricata"),
    ),
    StackRule(
        name="log-loss-alert",
        description="Somebody is told when logs are dropped.",
        why="Logs that were dropped are found missing on the day they are needed.",
        box="audit-logging",
        severity="high",
        about=of("fluent-bit"),
        check=missed("fluent-bit", gone=r"fluentbit_output_(dropped|retries_failed|errors)\w*"),
    ),
    StackRule(
        name="scan-findings-alert",
        description="What a scan finds, or that it did not run, has an alert that comes to somebody.",
        why="A report in a bucket that nobody opens mends nothing.",
        box="vulnerability-scanning",
        severity="medium",
        about=of("trivy"),
        check=missed("trivy", gone=r"trivy|kube_(cron)?job_"),
    ),
    StackRule(
        name="response-down-alert",
        description="Somebody is told when the responder stops.",
        why="Everyone trusts that an intruder is shut out by itself, and nothing is there to do it.",
        box="automated-response",
        severity="medium",
        about=of("responder"),
        check=missed("responder"),
    ),
    StackRule(
        name="recovery-drill-alert",
        description="Somebody is told when a restore drill fails or is late.",
        why="A backup that cannot be restored is found out on the day there is nothing else.",
        box="recovery",
        severity="high",
        about=has_rules,
        check=_drills,
    ),
)
