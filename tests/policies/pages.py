"""The pages that explain each policy, docs/policies/*.md, from the rules, their fixtures and what prod renders."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policies import links
from policies.admission import NOT_REPEATED
from policies.boxes import BOXES
from policies.judge import Stack, judge_all
from policies.levels import levels
from policies.plain import plain
from policies.rule import AnyRule, ProgramRule, Rule
from policies.rules import RULES
from policies.rules.coverage import judged
from tests.policies.fixtures import cases, registered, written
from tests.render import ROOT, STACKS, committed

_SAID = 3

_EXEMPTING = """\
What a stack is held to is in `policies/levels.STACK.json`. To let one object break a rule for a while, add an entry to
`policies/exemptions.yaml` with `rule`, `resource` (as `Deployment app/api`), `stacks`, `reason`, `owner`, `approver` and `expires`: not
approved by its owner, not for more than half a year. The breach is still looked for, and shown; what the cluster refuses too, it
refuses all the same.

An example is the change to a program that holds the rule, `tests/policies/fixtures/programs/`, in the words of
`tests/policies/fixtures.py`; under a refused one is what is said of it, with the remedy after the semicolon."""


def pages() -> dict[Path, str]:
    """Return every page, and what it should say."""
    families: dict[str, list[AnyRule]] = {}
    for rule in RULES:
        families.setdefault(links.family(rule), []).append(rule)
    return {ROOT / links.PAGES / f"{name}.md": family_page(name, rules) for name, rules in sorted(families.items())}


def family_page(name: str, rules: Sequence[AnyRule]) -> str:
    """Return the page of the rules whose names begin with a word."""
    lines = [
        f"# Policies: `{name}`",
        "",
        "`make docs` writes this page from `policies/rules/` and `tests/policies/fixtures/`; an edit here is lost.",
        "",
        *_EXEMPTING.splitlines(),
        "",
    ]
    for rule in rules:
        lines += _rule(rule)
    return "\n".join(lines)


def _rule(rule: AnyRule) -> Iterator[str]:
    yield from (f"## {rule.name}", "", rule.description, "", f"Why: {rule.why}", "")
    facts = {
        "severity": rule.severity,
        **{stack: _levels(stack)[rule.name] for stack in STACKS},
        "box": f"[{BOXES[rule.box].title}](../compliance.md#{rule.box})",
        "controls": ", ".join(rule.controls) or "none",
        "judges on prod": judging(rule),
        "in the cluster": _in_the_cluster(rule),
    }
    yield from (*table(list(facts), [list(facts.values())]), "")
    file = written(rule.name)
    program = file.get("program", "workload")
    for name, change in list(file.get("fail", {}).items())[:1]:
        yield from (f"Refused: {name}.", "", *_block("yaml", _yaml(change)), *_block("text", _said(rule, name)))
    passing = {**file.get("pass", {}), **file.get("near-miss", {})}
    # That the program passes as it is shows nothing; what nearly fails shows where the line is.
    shown = [(name, change) for name, change in passing.items() if change] or list(passing.items())
    for name, change in shown[:1]:
        whole = f"[the program as it is](../../tests/policies/fixtures/programs/{program}.yaml)"
        yield from (f"Passes: {name}.", "", *(_block("yaml", _yaml(change)) if change else (f"It is {whole}.", "")))


def _in_the_cluster(rule: AnyRule) -> str:
    admission = rule.admission if isinstance(rule, Rule) else None
    if admission is None:
        return "not looked for" + (f": {NOT_REPEATED[rule.name]}" if rule.name in NOT_REPEATED else "")
    return "refused too" + (f", but for {admission.lacks}" if admission.lacks else "")


def _said(rule: AnyRule, name: str) -> str:
    manifests = next(case.manifests for case in cases(rule.name) if (case.sort, case.name) == ("fail", name))
    if isinstance(rule, ProgramRule):
        found = judge_all([rule], Stack([], [registered(each) for each in manifests]))
    else:
        found = judge_all([rule], Stack([(plain(each), "") for each in manifests]))
    messages = [f"{each.resource}: {each.message}" for each in found]
    more = [f"and {len(messages) - _SAID} more"] if len(messages) > _SAID else []
    return "\n".join([*messages[:_SAID], *more])


def _block(language: str, text: str) -> list[str]:
    return [f"```{language}", *text.splitlines(), "```", ""]


def _yaml(change: Any) -> str:
    return yaml.safe_dump(change, sort_keys=False, width=120)


def link(rule: AnyRule) -> str:
    """Return a link from a page in docs/ to a rule's explanation."""
    return f"[{rule.name}]({links.page(rule).removeprefix('docs/')})"


@cache
def on_prod() -> Mapping[str, int]:
    """Return how many of prod's objects, or of what its program registers, each rule judges."""
    prod = committed("prod")
    # The stack itself is registered in the first run of a process only.
    resources = [registered(each) for each in prod.registered if each["token"] != "pulumi:pulumi:Stack"]
    return judged(RULES, [plain(each) for each in prod.manifests], resources)


def judging(rule: AnyRule) -> str:
    """Return the same of one rule, for a reader."""
    count = on_prod()[rule.name]
    return f"{count} {'resources' if isinstance(rule, ProgramRule) else 'objects'}" if count else "not evaluated"


@cache
def _levels(stack: str) -> Mapping[str, str]:
    return levels(stack, {rule.name: rule.severity for rule in RULES})


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
