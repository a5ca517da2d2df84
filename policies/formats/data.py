"""JSON, for a program: every rule with how many objects it judged, every breach, suppressed ones with their exemption."""

import json
from dataclasses import asdict
from typing import Any

from policies import links
from policies.verdict import Breach, Verdict


def text(verdict: Verdict) -> str:
    """Return one object."""
    rules: list[dict[str, Any]] = [
        {
            "name": rule.name,
            "description": rule.description,
            "why": rule.why,
            "box": rule.box,
            "severity": rule.severity,
            "level": verdict.levels[rule.name],
            "controls": rule.controls,
            "objects": verdict.judged[rule.name],
            "documentation": links.address(rule),
        }
        for rule in verdict.rules
    ]
    whole: dict[str, Any] = {
        "stack": verdict.stack,
        "refused": verdict.refused,
        "objects": verdict.objects,
        "rules": rules,
        "breaches": [_breach(breach) for breach in verdict.breaches],
    }
    return json.dumps(whole, indent=1) + "\n"


def _breach(breach: Breach) -> dict[str, Any]:
    exemption = breach.exemption
    return {
        **asdict(breach.finding),
        "severity": breach.rule.severity,
        "level": breach.level,
        "exemption": {**asdict(exemption), "expires": exemption.expires.isoformat()} if exemption else None,
    }
