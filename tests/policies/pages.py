"""The pages about the policies, from the rules, their fixtures and what prod renders: docs/policies/*.md, docs/compliance.md."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from policies import links
from policies.boxes import BOXES
from policies.judge import Stack, judge_all
from policies.levels import levels
from policies.plain import plain
from policies.rule import AnyRule, ProgramRule, Rule
from policies.rules import RULES
from policies.rules.coverage import ENOUGH, judged
from tests.policies.fixtures import SORTS, cases, registered, written
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
    return {
        ROOT / "docs" / "compliance.md": compliance_page(),
        **{ROOT / links.PAGES / f"{name}.md": family_page(name, rules) for name, rules in sorted(families.items())},
    }


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
        "objects on prod": str(_judged()[rule.name]),
        "in the cluster": "refused too" if isinstance(rule, Rule) and rule.admission else "not looked for",
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


def compliance_page() -> str:
    """Return docs/compliance.md."""
    held = {box: [rule for rule in RULES if rule.box == box] for box in BOXES}
    evaluated = {box: [rule for rule in rules if _judged()[rule.name]] for box, rules in held.items()}
    lacking = [box for box in BOXES if len(evaluated[box]) < ENOUGH]
    judging = sum(len(rules) for rules in evaluated.values())
    lines = [
        "# Compliance",
        "",
        "`make docs` writes this page from `policies/`, its tests and what the stack `prod` renders; an edit here is lost.",
        "",
        "For each box of the security diagram: the rules that hold it, whether they have anything to judge on prod and how many objects,",
        "and how many cases show that they fire and that they do not. A rule that judges nothing is no evidence, and counts for nothing.",
        f"A box with fewer than {ENOUGH} rules that judge is not covered; `policies/exemptions.yaml` says until when that may be.",
        "",
        f"{len(BOXES) - len(lacking)} of {len(BOXES)} boxes are covered. {judging} of {len(RULES)} rules judge something on prod,",
        f"which has {len(committed('prod').manifests)} objects.",
        "",
        *table(
            ["layer", "box", "rules", "judging on prod", ""],
            [
                [
                    described.layer,
                    f"[{described.title}](#{box})",
                    str(len(held[box])),
                    str(len(evaluated[box])),
                    "**not covered**" if box in lacking else "covered",
                ]
                for box, described in BOXES.items()
            ],
        ),
        "",
    ]
    for box, described in BOXES.items():
        lines += [
            f"## {box}",
            "",
            f"{described.title} ({described.layer}). NIST SP 800-53: {', '.join(described.nist)}.",
        ]
        if box in lacking:
            lines += [
                "",
                f"**Not covered**: rules with anything to judge on prod: {len(evaluated[box])}, of {ENOUGH} at least.",
            ]
        rows = [
            [
                _link(rule),
                rule.severity,
                str(_judged()[rule.name]) if _judged()[rule.name] else "not evaluated",
                _tested(rule),
                ", ".join(rule.controls),
            ]
            for rule in held[box]
        ]
        heading = ["rule", "severity", "objects on prod", "cases", "controls"]
        lines += ["", *(table(heading, rows) if rows else ["No rule."]), ""]
    return "\n".join([*lines, *_frameworks()])


_FRAMEWORKS = {
    "cis": "CIS Kubernetes Benchmark 1.12, section 5",
    "nsa": "NSA and CISA hardening guidance and others, by Kubescape's numbers",
    "pss": "Pod Security Standards",
    "checkov": "Checkov",
    "trivy": "Trivy",
}


def _frameworks() -> Iterator[str]:
    yield from (
        "## Frameworks",
        "",
        "What a rule is mapped to is our reading, for who looks for a number; no auditor has confirmed it. The numbers of NIST SP 800-53",
        "were compared with NIST's own catalog of revision 5.1.1, as far as its HIGH baseline goes: IA-9 and SR-4 are not in it. Those of",
        "the CIS benchmark were not checked against its text, which is not free to read; those of the scanners are the names of their checks.",
        "A control that is not here is not covered.",
        "",
    )
    named: dict[str, dict[str, list[AnyRule]]] = {}
    for rule in RULES:
        for control in rule.controls:
            framework, _, number = control.partition(":")
            named.setdefault(framework, {}).setdefault(number, []).append(rule)
    for framework in sorted(named, key=lambda name: [*_FRAMEWORKS, name].index(name)):
        yield from (f"### {_FRAMEWORKS.get(framework, framework)}", "")
        rows = [
            [number, ", ".join(map(_link, rules))] for number, rules in sorted(named[framework].items(), key=_by_number)
        ]
        yield from (*table(["control", "rules"], rows), "")
    yield from ("### NIST SP 800-53 revision 5", "")
    families: dict[str, list[str]] = {}
    for box, described in BOXES.items():
        for control in described.nist:
            families.setdefault(control, []).append(f"[{described.title}](#{box})")
    rows = [[control, ", ".join(boxes)] for control, boxes in sorted(families.items(), key=_by_number)]
    yield from (*table(["control", "boxes"], rows), "")


def _by_number(entry: tuple[str, object]) -> list[tuple[int, str]]:
    """Sort 5.2.10 after 5.2.9."""
    parts = entry[0].replace("-", ".").split(".")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _link(rule: AnyRule) -> str:
    return f"[{rule.name}]({links.page(rule).removeprefix('docs/')})"


def _tested(rule: AnyRule) -> str:
    counted = {sort: sum(1 for case in cases(rule.name) if case.sort == sort) for sort in SORTS}
    return ", ".join(f"{count} {sort}" for sort, count in counted.items()) if any(counted.values()) else "unit tests"


@cache
def _judged() -> Mapping[str, int]:
    return judged(RULES, [plain(manifest) for manifest in committed("prod").manifests])


@cache
def _levels(stack: str) -> Mapping[str, str]:
    return levels(stack, {rule.name: rule.severity for rule in RULES})


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]
