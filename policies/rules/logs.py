"""Audit logs: what happened is written down, leaves the node, is kept long enough, and nobody can change it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from policies.audit_policy import LEVELS, Request, levels
from policies.fluent_bit import Shipper, is_on, shippers
from policies.programs import of, parsed, programs
from policies.rule import THE_STACK, Manifest, StackRule, at
from policies.rules.sensors import everywhere

Stack = Sequence[Manifest]

_YEAR = 365.0
_DAYS = {"d": 1.0, "h": 1 / 24, "m": 1 / 1440, "s": 1 / 86400}
_NOWHERE = ("null", "stdout", "file", "counter", "exit")
_RBAC = "rbac.authorization.k8s.io"
_WANTED: Sequence[tuple[Request, str, str]] = (
    (Request("create", "", "pods/exec"), "Metadata", "RequestResponse"),
    (Request("create", "", "pods/attach"), "Metadata", "RequestResponse"),
    (Request("get", "", "secrets"), "Metadata", "Metadata"),
    (Request("update", "", "secrets"), "Metadata", "Metadata"),
    (Request("create", _RBAC, "rolebindings"), "Request", "RequestResponse"),
    (Request("update", _RBAC, "clusterroles", namespace=""), "Request", "RequestResponse"),
    (Request("delete", "apps", "deployments"), "Metadata", "RequestResponse"),
)
"""A request, and the least and the highest level at which it may be written down: a secret's value must not be in the log."""


def _audited(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        for key, text in at(manifest, "data", {}).items() if _has_audit_policy(manifest) else ():
            policy = parsed(text) if key == "audit-policy.yaml" else None
            for request, least, most in _WANTED if policy is not None else ():
                found = {LEVELS.index(each) for each in levels(policy, request)}
                low = min(found) < LEVELS.index(least)
                if low or max(found) > LEVELS.index(most):
                    fix = f"make {least if low else most} that of the first rule for it, whoever asks and wherever"
                    where = f"data.{key} writes down {request.verb} {request.resource} at the wrong level"
                    yield manifest, f"{where}; {fix}, and omit no ResponseComplete"


def _has_audit_policy(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "ConfigMap" and "audit-policy.yaml" in at(manifest, "data", {})


def _shipped(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for shipper in shippers(manifests):
        leaves = [each for each in shipper.outputs if str(at(each, "name", "")).lower() not in _NOWHERE]
        if not any("/var/log/containers/" in str(at(each, "path", "")) for each in shipper.inputs):
            yield shipper.program.of, "inputs leave out containers; add a tail of /var/log/containers/*.log"
        if any(_excludes(each) for each in shipper.inputs):
            yield shipper.program.of, "inputs exclude containers; take away Exclude_Path"
        for where in shipper.dropping():
            yield shipper.program.of, f"{where} drops records; take it away, and choose where they are read"
        if not any(str(at(each, "match", "")) == "*" for each in leaves):
            yield shipper.program.of, "outputs leave out records; add one that leaves the node with Match *"
        for index, output in enumerate(leaves):
            if not is_on(at(output, "tls")) or not is_on(output.get("tls.verify", "on")):
                yield (
                    shipper.program.of,
                    f"outputs[{index}] is not encrypted to who it is for; set tls on, and tls.verify on",
                )
            if str(at(output, "retry_limit", "1")).lower() not in ("no_limits", "false"):
                yield shipper.program.of, f"outputs[{index}] gives up after some tries; set Retry_Limit no_limits"


def _excludes(section: Manifest) -> bool:
    """Return whether a tail leaves out any container's log but the shipper's own, which would feed itself."""
    given = str(at(section, "exclude_path", ""))
    return any("fluent-bit" not in each for each in given.split(",") if each.strip())


def _buffered(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for shipper in shippers(manifests):
        folder = str(shipper.service.get("storage.path", ""))
        if not folder or not _on_node(shipper, folder):
            yield shipper.program.of, "service has no storage.path on the node; set it to a folder that is a hostPath"
        for index, each in enumerate(shipper.inputs):
            if str(each.get("storage.type", "memory")) != "filesystem":
                yield shipper.program.of, f"inputs[{index}] is kept in memory only; set storage.type filesystem"
            if str(at(each, "name", "")).lower() == "tail" and not _on_node(shipper, str(each.get("db", ""))):
                yield shipper.program.of, f"inputs[{index}] forgets how far it read; set DB to a file in a hostPath"


def _on_node(shipper: Shipper, path: str) -> bool:
    """Return whether a path is in a folder of the node, that can be written to."""
    volumes = {at(each, "name") for each in at(shipper.program.pod, "volumes", []) if at(each, "hostPath")}
    mounts = [each for each in at(shipper.program.spec, "volumeMounts", []) if at(each, "name") in volumes]
    writable = [at(each, "mountPath", "").rstrip("/") for each in mounts if at(each, "readOnly") is not True]
    return any(path == each or path.startswith(f"{each}/") for each in writable)


def _settings(manifests: Stack) -> list[tuple[Manifest, Any]]:
    """Return what Elasticsearch is told by its file of settings, with the object that says it."""
    found = [(program.of, program.file("settings.json")) for program in programs(manifests, "elasticsearch")]
    return [(manifest, at(settings, "state")) for manifest, settings in found if settings is not None]


def _kept(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    settings = _settings(manifests)
    if not settings:
        yield (
            THE_STACK,
            "elasticsearch has no settings.json from a ConfigMap of the stack; mount one in config/operator",
        )
    for manifest, state in settings:
        templates = [
            each
            for each in at(state, "index_templates.composable_index_templates", {}).values()
            if any("audit" in pattern for pattern in at(each, "index_patterns", []))
        ]
        if not templates:
            yield manifest, "index_templates has none for audit logs; add one whose index_patterns name them"
        for template in templates:
            index = at(template, "template.settings", {})
            name = at(index, "index.lifecycle.name") or index.get("index.lifecycle.name")
            days = _retention(at(state, "ilm", {}).get(name))
            if days < _YEAR:
                what = "keeps audit logs for less than a year"
                yield (
                    manifest,
                    f"ilm {what}; name a policy in index.lifecycle.name whose delete.min_age is 365d or more",
                )


def _retention(policy: Any) -> float:
    """Return for how many days a lifecycle keeps an index; without a phase of deletion, for ever."""
    if policy is None:
        return 0.0
    phases = at(policy, "phases", {})
    if at(phases, "delete") is None:
        return float("inf")
    age = re.fullmatch(r"(\d+)([dhms])", str(at(phases, "delete.min_age", "0d")))
    return float(age[1]) * _DAYS[age[2]] if age else 0.0


def _copied(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if (
            at(manifest, "kind") == "StatefulSet"
            and of("elasticsearch")(manifest)
            and at(manifest, "spec.replicas", 1) < 3
        ):
            yield manifest, "spec.replicas loses the log with one node; set 3 or more"
    for manifest, state in _settings(manifests):
        repositories = at(state, "snapshot_repositories", {})
        named = {at(each, "repository") for each in at(state, "slm", {}).values()}
        if not any(name in named and at(each, "type") == "s3" for name, each in repositories.items()):
            yield (
                manifest,
                "slm takes no snapshots to another store; add an s3 repository and a policy for it, with a lock",
            )


def _doors(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "modsecurity-crs"):
        if program.variable("MODSEC_AUDIT_ENGINE") not in (None, "On", "RelevantOnly"):
            yield program.of, "env MODSEC_AUDIT_ENGINE switches its log off; set RelevantOnly, or take it away"
        if program.variable("MODSEC_AUDIT_LOG") != "/dev/stdout":
            yield program.of, "env MODSEC_AUDIT_LOG is a file in the container; set /dev/stdout, which is shipped"
    for program in programs(manifests, "openbao"):
        if not any(re.search(r'^\s*audit\s+"\w+"', str(text), re.MULTILINE) for text in program.files.values()):
            yield (
                program.of,
                'audit has no device and who read a key is not known; add an audit "file" to its configuration',
            )
    for manifest in manifests:
        if at(manifest, "kind") == "EnvoyProxy" and at(manifest, "spec.telemetry.accessLog.disable") is True:
            yield manifest, "spec.telemetry.accessLog.disable switches the gateway's log off; take it away"


def _is_door(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "EnvoyProxy" or of("modsecurity-crs")(manifest) or of("openbao")(manifest)


LOG_RULES: tuple[StackRule, ...] = (
    StackRule(
        name="audit-policy",
        description="The API server writes down who reads secrets, changes rights and enters pods, and no secret's value.",
        why="After a break-in nobody knows which secrets were read; or the log itself hands them out.",
        box="audit-logging",
        severity="high",
        controls=("cis:3.2.2",),
        about=_has_audit_policy,
        check=_audited,
    ),
    StackRule(
        name="log-shipper-on-every-node",
        description="The log shipper runs on every node that anything can run on.",
        why="What happened on the one node that it leaves out is written down nowhere but there.",
        box="audit-logging",
        severity="high",
        about=of("fluent-bit"),
        check=everywhere("fluent-bit"),
    ),
    StackRule(
        name="log-shipped",
        description="The log of every container leaves the node, encrypted, for as long as it takes.",
        why="What an intruder did is in the log of the container that was left out, or was read on its way.",
        box="audit-logging",
        severity="high",
        about=of("fluent-bit"),
        check=_shipped,
    ),
    StackRule(
        name="log-buffered",
        description="Logs that cannot be shipped yet are kept on the node's disk.",
        why="An intruder stops the store first: what is in the shipper's memory is gone when it is restarted.",
        box="audit-logging",
        severity="high",
        about=of("fluent-bit"),
        check=_buffered,
    ),
    StackRule(
        name="log-retention",
        description="Audit logs are kept for a year.",
        why="Most break-ins are noticed after months, when the log of the first day is what tells how it began.",
        box="audit-logging",
        severity="high",
        about=of("elasticsearch"),
        check=_kept,
    ),
    StackRule(
        name="log-copied",
        description="The log store has three nodes or more, and its indices are copied to another store.",
        why="Who can delete an index, or one disk that fails, takes all the evidence with it.",
        box="audit-logging",
        severity="medium",
        about=of("elasticsearch"),
        check=_copied,
    ),
    StackRule(
        name="log-of-each-door",
        description="The gateway, the firewall for requests and the key store write down what was asked of them.",
        why="A key was used or an attack let through, and there is no record of by whom.",
        box="audit-logging",
        severity="medium",
        about=_is_door,
        check=_doors,
    ),
)
