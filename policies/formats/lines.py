"""For a terminal: one line for each broken rule, with its first objects, what to do about them and where it is explained."""

from collections.abc import Sequence

from policies import links
from policies.verdict import EXEMPTIONS, Breach, Verdict

_SHOWN = 3


def lines(verdict: Verdict) -> list[str]:
    """Return the lines, of what stops a run first, and a last one that counts."""
    said: dict[str, list[str]] = {"mandatory": [], "advisory": [], "exempted": []}
    for rule in verdict.rules:
        breaches = verdict.of(rule)
        if standing := [breach for breach in breaches if not breach.exemption]:
            level = standing[0].level
            where = links.page(rule) if rule is not EXEMPTIONS else "policies/exemptions.yaml"
            said[level].append(f"{level}: {rule.name} ({rule.severity}): {_first(standing)}; see {where}")
        if exempted := [breach for breach in breaches if breach.exemption]:
            said["exempted"].append(f"advisory: exempted: {rule.name} ({rule.severity}): {_first(exempted)}")
    broken = len(said["mandatory"]) + len(said["advisory"])
    counts = f"{verdict.objects} objects, {len(verdict.rules) - 1} rules, {broken} broken"
    exempted = sum(1 for breach in verdict.breaches if breach.exemption)
    last = f"{verdict.stack}: {counts}" + (f", {exempted} breaches exempted" if exempted else "")
    return [*said["mandatory"], *said["advisory"], *said["exempted"], last]


def _first(breaches: Sequence[Breach]) -> str:
    shown = "; ".join(told(breach) for breach in breaches[:_SHOWN])
    more = len(breaches) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def told(breach: Breach) -> str:
    """Return a breach in one sentence, with what allows it."""
    exemption = breach.exemption
    allowed = f" (until {exemption.expires} by {exemption.approver}: {exemption.reason})" if exemption else ""
    return f"{breach.finding.resource}: {breach.finding.message}{allowed}"
