"""Markdown, for a pull request: the verdict in one line, the broken rules in a table, what is exempted folded away."""

import html
import re
from collections.abc import Sequence

from policies import links
from policies.formats.lines import told
from policies.verdict import Breach, Verdict

_SHOWN = 10


def text(verdict: Verdict) -> str:
    """Return the summary; of each rule the first breaches."""
    refusing = [breach for breach in verdict.breaches if breach.refuses]
    warning = [breach for breach in verdict.breaches if not (breach.refuses or breach.exemption)]
    exempted = [breach for breach in verdict.breaches if breach.exemption]
    judging = sum(1 for rule in verdict.rules if verdict.judged[rule.name])
    counts = f"{len(refusing)} refused, {len(warning)} warned of, {len(exempted)} exempted"
    parts = [
        f"### Policies: `{verdict.stack}` is {'refused' if verdict.refused else 'accepted'}",
        f"{counts}. {verdict.objects} objects, {len(verdict.rules)} rules, {judging} of them with something to judge.",
        *_table("Refused", refusing),
        *_table("Warned of", warning),
    ]
    if exempted:
        parts += ["<details><summary>Exempted</summary>", *_table("Exempted", exempted), "</details>"]
    return "\n\n".join(parts) + "\n"


def _table(title: str, breaches: Sequence[Breach]) -> list[str]:
    rows = list[str]()
    for rule in dict.fromkeys(breach.rule.name for breach in breaches):
        of_it = [breach for breach in breaches if breach.rule.name == rule]
        shown = [_escaped(told(breach)) for breach in of_it[:_SHOWN]]
        more = [f"and {len(of_it) - _SHOWN} more"] if len(of_it) > _SHOWN else []
        named = f"[{rule}]({links.address(of_it[0].rule)})"
        rows.append(f"| {named} | {of_it[0].rule.severity} | {'<br>'.join([*shown, *more])} |")
    return ["\n".join([f"| {title} | Severity | Where, and what to do |", "|---|---|---|", *rows])] if rows else []


def _escaped(words: str) -> str:
    """Return text that Markdown shows as it is, in one cell: names come from the objects, and may be anything."""
    return re.sub(r"([\\`*_\[\]|~#@])", r"\\\1", html.escape(" ".join(words.split()), quote=False))
