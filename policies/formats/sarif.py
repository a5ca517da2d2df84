"""SARIF 2.1.0, for code scanning: the rules with what they are for, each breach with a fingerprint, suppressed ones as such."""

import hashlib
import json
from typing import Any

from policies import links
from policies.boxes import BOXES
from policies.formats.lines import told
from policies.rule import Described
from policies.verdict import Breach, Verdict

Object = dict[str, Any]
_SCORES = {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}  # what code scanning sorts by
_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"mandatory": "error", "advisory": "warning", "disabled": "none"}


def text(verdict: Verdict) -> str:
    """Return the log of one run."""
    numbers = {rule.name: number for number, rule in enumerate(verdict.rules)}
    run: Object = {
        "tool": {
            "driver": {"name": "platform-policies", "rules": [_rule(rule, verdict) for rule in verdict.rules]},
        },
        "automationDetails": {"id": f"policies/{verdict.stack}/"},
        "columnKind": "unicodeCodePoints",
        "results": [_result(breach, numbers, verdict.stack) for breach in verdict.breaches],
    }
    log: Object = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1) + "\n"


def _rule(rule: Described, verdict: Verdict) -> Object:
    level = verdict.levels[rule.name]
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.description},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.description} {rule.why} See {links.page(rule)}."},
        "helpUri": links.address(rule),
        "defaultConfiguration": {"enabled": level != "disabled", "level": _LEVELS[level]},
        "properties": {
            "tags": ["security", f"box:{rule.box}", BOXES[rule.box].layer, *rule.controls],
            "security-severity": _SCORES[rule.severity],
            "problem.severity": "error" if level == "mandatory" else "recommendation",
            "objects": verdict.judged[rule.name],
        },
    }


def _result(breach: Breach, numbers: dict[str, int], stack: str) -> Object:
    finding, exemption = breach.finding, breach.exemption
    # Of a result without a file code scanning shows nothing: the stack's own is where a reviewer begins.
    file: Object = {"artifactLocation": {"uri": f"Pulumi.{stack}.yaml"}, "region": {"startLine": 1}}
    place: Object = {"fullyQualifiedName": finding.resource, "kind": "resource"}
    suppressions: list[Object] = []
    if exemption:
        why = f"{exemption.reason} (owner {exemption.owner}, approver {exemption.approver}, until {exemption.expires})"
        suppressions.append({"kind": "external", "status": "accepted", "justification": why})
    return {
        "ruleId": finding.rule,
        "ruleIndex": numbers[finding.rule],
        "level": _LEVELS[breach.level],
        "message": {"text": told(breach)},
        "locations": [{"physicalLocation": file, "logicalLocations": [place]}],
        "partialFingerprints": {"ruleObjectBreach/v1": _fingerprint(breach)},
        "suppressions": suppressions,  # of all results or of none, says the standard; an empty list is "not suppressed"
    }


def _fingerprint(breach: Breach) -> str:
    """Return what stays the same for the same breach of an object, also when another fix is advised."""
    finding = breach.finding
    what = finding.message.partition(";")[0]
    return hashlib.sha256(f"{finding.rule}\n{finding.resource}\n{what}".encode()).hexdigest()
