"""Sensors of the network and of the nodes: on every node, with rules of our own, heard, and with no power but what they need."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from policies.containers import containers, has_pods, pods
from policies.falco import sensors
from policies.programs import Program, of, programs, service, services
from policies.rule import Manifest, StackRule, at, namespace_of

Stack = Sequence[Manifest]

_RULE = re.compile(
    r"^(alert|drop|reject|pass)\s+[\w.-]+\s+\S+\s+\S+\s+(->|<>)\s+\S+\s+\S+\s+\((?=.*\bsid\s*:\s*\d+\s*;).*;\s*\)$"
)
_HOLDS: dict[str, frozenset[str]] = {
    "falco": frozenset(("SYS_RESOURCE", "BPF", "PERFMON", "SYS_PTRACE")),
    "suricata": frozenset(("NET_ADMIN", "NET_RAW", "SYS_NICE")),
}
"""The capabilities that a sensor works with; none needs to be privileged."""

_NODE = ("falco", "suricata", "fluent-bit", "node-exporter", "kube-bench", "wireguard")
"""The programs that read a node's own files, processes or packets because that is what they are for."""


def everywhere(program: str) -> Callable[[Stack], Iterator[tuple[Manifest, str]]]:
    """Return the check that a program runs on every node."""
    runs = of(program)

    def check(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
        for manifest in manifests:
            if runs(manifest):
                if at(manifest, "kind") != "DaemonSet":
                    yield manifest, "kind is not one that runs on every node; make it a DaemonSet"
                for path, pod in pods(manifest):
                    for message in _elsewhere(pod):
                        yield manifest, f"{path}.{message}"

    return check


def _elsewhere(pod: Manifest) -> Iterator[str]:
    """Yield why a pod of a DaemonSet may not be on a node."""
    endless = [each for each in at(pod, "tolerations", []) if at(each, "operator") == "Exists" and not at(each, "key")]
    effects = {at(each, "effect", "all") for each in endless if at(each, "tolerationSeconds") is None}
    if "all" not in effects and not effects >= {"NoSchedule", "NoExecute"}:
        yield "tolerations leave out nodes with a taint; add one with operator: Exists and no key"
    if at(pod, "nodeSelector", {}).keys() - {"kubernetes.io/os"}:
        yield "nodeSelector leaves out nodes; take it away, but for kubernetes.io/os"
    if at(pod, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"):
        yield "affinity.nodeAffinity leaves out nodes; take away what it requires"
    if at(pod, "nodeName"):
        yield "nodeName is one node; take it away"


def _own_rules(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "suricata"):
        found = [text for place in _rule_places(program) for path, text in program.files.items() if path == place]
        lines = [line.strip() for text in found for line in f"{text}".replace("\\\n", " ").splitlines()]
        rules = [line for line in lines if line and not line.startswith("#")]
        if not any(rule.startswith("alert") for rule in rules):
            what = "loads no rule that alerts, from a ConfigMap of the stack"
            yield program.of, f"containers.command {what}; mount a file of rules and name it with -S, or in rule-files"
        if program.flag("--disable-detection"):
            yield program.of, "containers.command switches detection off; take away --disable-detection"
        if any(_RULE.match(rule) is None for rule in rules):
            yield program.of, "containers.volumeMounts has a file with a line that is no rule; correct it, sid and all"
        numbers = [number for rule in rules for number in re.findall(r"\bsid\s*:\s*(\d+)", rule)]
        if len(numbers) != len(set(numbers)):
            yield (
                program.of,
                "containers.volumeMounts has rules with the same sid, of which one counts; number them apart",
            )


def _rule_places(program: Program) -> list[str]:
    """Return the files that a Suricata loads rules from: one alone, or those of its configuration and one more."""
    alone, more = program.option("-S"), program.option("-s")
    config: Any = program.file("suricata.yaml") or {}
    folder = at(config, "default-rule-path", "/etc/suricata/rules").rstrip("/")
    named = [each if each.startswith("/") else f"{folder}/{each}" for each in at(config, "rule-files", [])]
    return alone or [*named, *more]


def _heard(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    there = services(manifests)
    for sensor in sensors(manifests):
        output = at(sensor.settings, "http_output", {})
        address = service(str(at(output, "url", "")), namespace_of(sensor.program.of))
        if at(output, "enabled") is not True or address not in there:
            yield (
                sensor.program.of,
                "http_output leads to no Service of the stack; enable it, with the url of falcosidekick",
            )
        if at(sensor.settings, "json_output") is not True:
            yield sensor.program.of, "json_output is off and nothing can read what it says; set it to true"
    for program in programs(manifests, "suricata"):
        if not _written(program):
            what = "writes no alerts where a log shipper reads them"
            fix = "enable eve-log with alert in suricata.yaml, and mount its folder in fluent-bit too"
            yield program.of, f"outputs {what}; {fix}"
        elif not any(_folder(program) in _read(each) for each in programs(manifests, "fluent-bit")):
            yield (
                program.of,
                "volumes with its log is mounted by no fluent-bit; mount the same hostPath, or the same emptyDir",
            )


def _written(program: Program) -> bool:
    """Return whether a Suricata writes its alerts to a file of a volume."""
    outputs = at(program.file("suricata.yaml"), "outputs", [])
    for output in outputs:
        log = at(output, "eve-log", {})
        types = {
            name
            for each in at(log, "types", [])
            for name in (cast("Manifest", each) if isinstance(each, dict) else [each])
        }
        if at(log, "enabled") in (True, "yes") and at(log, "filetype", "regular") == "regular" and "alert" in types:
            return _folder(program) is not None
    return False


def _folder(program: Program) -> Any:
    """Return what the folder of a Suricata's logs is a mount of: a path on the node, or the pod's volume."""
    settings = program.file("suricata.yaml")
    places = [*program.option("-l"), at(settings, "default-log-dir", "/var/log/suricata")]
    for mount in at(program.spec, "volumeMounts", []):
        if at(mount, "mountPath", "").rstrip("/") == places[0].rstrip("/"):
            return _source(program, at(mount, "name"))
    return None


def _read(program: Program) -> list[Any]:
    return [_source(program, at(mount, "name")) for mount in at(program.spec, "volumeMounts", [])]


def _source(program: Program, name: str) -> Any:
    for volume in at(program.pod, "volumes", []):
        if at(volume, "name") == name:
            owner = (at(program.of, "metadata.namespace"), at(program.of, "metadata.name"), name)
            return at(volume, "hostPath.path") or (owner if at(volume, "emptyDir") is not None else None)
    return None


def _powers(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        for name, allowed in _HOLDS.items():
            for container in containers(manifest) if of(name)(manifest) else ():
                if at(container.security, "privileged"):
                    yield manifest, f"{container.path} is privileged; add the capabilities that it works with instead"
                if set(at(container.security, "capabilities.add", [])) - allowed:
                    yield (
                        manifest,
                        f"{container.path} has a capability too many; add none but {', '.join(sorted(allowed))}",
                    )
                for mount in _of_node(manifest, container.spec):
                    if at(mount, "readOnly") is not True and name != "suricata":
                        yield manifest, f"{container.path}.volumeMounts can write to the node; set readOnly: true"


def _of_node(manifest: Manifest, container: Manifest) -> Iterator[Manifest]:
    for _path, pod in pods(manifest):
        names = {at(volume, "name") for volume in at(pod, "volumes", []) if at(volume, "hostPath")}
        yield from (mount for mount in at(container, "volumeMounts", []) if at(mount, "name") in names)


def _touches_node(manifest: Manifest) -> bool:
    if not has_pods(manifest):
        return False
    wide = any(at(pod, key) for _path, pod in pods(manifest) for key in ("hostNetwork", "hostPID", "hostIPC"))
    mounts = any(at(volume, "hostPath") for _path, pod in pods(manifest) for volume in at(pod, "volumes", []))
    return wide or mounts or any(at(each.security, "privileged") for each in containers(manifest))


def _only_sensors(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if _touches_node(manifest) and not any(of(name)(manifest) for name in _NODE):
            what = "reaches into the node and is no sensor"
            yield manifest, f"spec {what}; take away hostNetwork, hostPID, hostIPC, hostPath and privileged"


SENSOR_RULES: tuple[StackRule, ...] = (
    StackRule(
        name="sensor-on-every-node",
        description="The network sensor runs on every node that anything can run on.",
        why="Traffic on the one node that the sensor leaves out is seen by nobody, and an intruder may choose the node.",
        box="intrusion-detection",
        severity="high",
        about=of("suricata"),
        check=everywhere("suricata"),
    ),
    StackRule(
        name="sensor-own-rules",
        description="The network sensor loads rules of the stack's own, each of which can be read.",
        why="The image has no rules: without any it runs, is healthy, and detects nothing.",
        box="intrusion-detection",
        severity="high",
        about=of("suricata"),
        check=_own_rules,
    ),
    StackRule(
        name="sensor-heard",
        description="What a sensor sees leaves the node, for something that is there to take it.",
        why="Alerts that stay in a file on the node are deleted by the one they are about.",
        box="intrusion-detection",
        severity="high",
        about=lambda manifest: of("falco")(manifest) or of("suricata")(manifest),
        check=_heard,
    ),
    StackRule(
        name="sensor-least-powers",
        description="A sensor holds only the capabilities that it works with, and does not write to the node.",
        why="A sensor reads what any intruder sends: whoever takes over a privileged one has every node at once.",
        box="intrusion-detection",
        severity="high",
        controls=("cis:5.2.2",),
        about=lambda manifest: of("falco")(manifest) or of("suricata")(manifest),
        check=_powers,
    ),
    StackRule(
        name="sensor-alone-on-node",
        description="Only sensors reach into the node they run on.",
        why="An exemption for one program is easily used by the next, and then the node is no border any more.",
        box="intrusion-detection",
        severity="high",
        controls=("cis:5.2.2", "cis:5.2.3", "cis:5.2.4", "cis:5.2.5", "cis:5.2.11"),
        about=_touches_node,
        check=_only_sensors,
    ),
)
