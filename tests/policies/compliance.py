"""docs/compliance.md: from each box of the diagram and each framework's controls to rules, their tests, and the objects of prod."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from policies import exemptions
from policies.boxes import BOXES
from policies.controls import FRAMEWORKS, Framework
from policies.plain import plain
from policies.rule import AnyRule
from policies.rules import RULES
from policies.rules.coverage import ENOUGH, NAME, evaluated
from tests.judges.waivers import waivers
from tests.policies.fixtures import SORTS, cases
from tests.policies.mutations import mutations
from tests.policies.pages import judging, link, on_prod, table
from tests.render import committed

_INTRODUCTION = f"""\
`make docs` writes this page from `policies/`, its tests and what the stack `prod` renders; an edit here is lost. It leads from a
[box of the security diagram](#boxes), or from a [control of a framework](#frameworks), to rules, and to what shows of each rule that
it holds:

- **judges on prod**: how many of the objects that `prod` renders, or of the resources that its program registers. No breach is left
  but what `policies/exemptions.yaml` names. A rule that is "not evaluated" has nothing to judge, and is no evidence.
- **cases**: programs that break it, that keep it, and that nearly break it, in `tests/policies/fixtures/`.
- **mutations**: changes to `prod` that it has to find, and no other rule than those expected, in `tests/policies/mutations/`.

A box with fewer than {ENOUGH} rules that judge objects of `prod` is not covered."""

_FRAMEWORKS = """\
A rule has a control if it finds what breaks the control, or a part of that. This is our reading, which no auditor has confirmed; the
titles are our own short words for what was read, and what that was is said of each framework. A control is *held* if one of its
rules at least judges something on `prod`, *not evaluated* if none does yet, and *not covered* if there is no rule: then the reason is
in its place. Behind each rule is how much it judges on `prod`.

The controls of NIST are those of boxes: *in part* is held what one of its boxes stands for that is not covered."""


def compliance_page() -> str:
    """Return the whole page."""
    objects = committed("prod").manifests
    evaluating = sum(1 for rule in RULES if on_prod()[rule.name])
    lines = [
        "# Compliance",
        "",
        *_INTRODUCTION.splitlines(),
        "",
        f"{len(BOXES) - len(_lacking())} of {len(BOXES)} boxes are covered. {evaluating} of {len(RULES)} rules judge something on `prod`,",
        f"which has {len(objects)} objects.",
        "",
        *_boxes(),
        *_frameworks(),
        *_judges(),
    ]
    return "\n".join(lines)


def _boxes() -> Iterator[str]:
    held = {box: [rule for rule in RULES if rule.box == box] for box in BOXES}
    yield from ("## Boxes", "")
    rows = [
        [
            described.layer,
            f"[{described.title}](#{box})",
            str(len(held[box])),
            str(len(_evaluated()[box])),
            _covered(box),
        ]
        for box, described in BOXES.items()
    ]
    yield from (*table(["layer", "box", "rules", "judging objects of prod", ""], rows), "")
    for box, described in BOXES.items():
        controls = "; ".join(f"{number} {FRAMEWORKS['nist'].controls[number]}" for number in described.nist)
        yield from (f"### {box}", "", f"{described.title} ({described.layer}). NIST SP 800-53: {controls}.", "")
        if box in _lacking():
            yield from (
                f"**Not covered**: rules that judge objects of `prod`: {len(_evaluated()[box])}{_exempted(box)}.",
                "",
            )
        rows = [
            [
                link(rule),
                rule.severity,
                judging(rule),
                _cases(rule),
                str(_mutations()[rule.name]),
                ", ".join(rule.controls),
            ]
            for rule in held[box]
        ]
        heading = ["rule", "severity", "judges on prod", "cases", "mutations", "controls"]
        yield from (*(table(heading, rows) if rows else ["No rule."]), "")


def _exempted(box: str) -> str:
    severities = {rule.name: rule.severity for rule in RULES}
    for each in exemptions.load("prod", severities):
        if (each.rule, each.resource) == (NAME, f"box {box}"):
            return f"; exempted until {each.expires}, approved by {each.approver}"
    return ""


def _frameworks() -> Iterator[str]:
    yield from ("## Frameworks", "", *_FRAMEWORKS.splitlines(), "")
    rows = {name: list(_controls(name)) for name in FRAMEWORKS}
    counted = {name: Counter(row[-1].strip("*") for row in found) for name, found in rows.items()}
    summary = [
        [
            f"[{framework.title}](#{name})",
            framework.version,
            *(str(counted[name][state]) for state in ("held", "in part", "not evaluated")),
            str(counted[name]["not covered"]) if framework.uncovered is not None or name == "nist" else "not listed",
        ]
        for name, framework in FRAMEWORKS.items()
    ]
    yield from (*table(["framework", "version", "held", "in part", "not evaluated", "not covered"], summary), "")
    for name, framework in FRAMEWORKS.items():
        levels = ["levels"] if framework.levels else []
        heading = ["control", "asks for", *levels, "boxes" if name == "nist" else "rules", ""]
        yield from (f"### {name}", "", f"{framework.title}, {framework.version}. {framework.read}".strip(), "")
        yield from (*table(heading, rows[name]), "")


def _judges() -> Iterator[str]:
    yield from (
        "## What others find on prod",
        "",
        "`make test` asks checkov, kube-score, kubernetes-validate and kubectl-validate about what prod renders, and the first two about the",
        "cases of our rules. What checkov and kube-score find is found by a rule that has the check among its controls, or is kept:",
        "",
    )
    rows = [[each.check, ", ".join(each.objects) or "all", each.reason] for each in waivers().prod]
    yield from (*table(["check", "objects", "why it is kept"], rows), "")


def _controls(name: str) -> Iterator[list[str]]:
    framework = FRAMEWORKS[name]
    for number, title in sorted(framework.controls.items(), key=lambda entry: _natural(entry[0])):
        levels = [", ".join(_levels(framework, number))] if framework.levels else []
        yield [number, title, *levels, *(_by_boxes(number) if name == "nist" else _by_rules(name, number))]


def _by_boxes(number: str) -> tuple[str, str]:
    boxes = [box for box, described in BOXES.items() if number in described.nist]
    covered = [box for box in boxes if box not in _lacking()]
    state = "held" if covered == boxes else "**in part**" if covered else "**not covered**"
    return ", ".join(f"[{BOXES[box].title}](#{box})" for box in boxes), state


def _by_rules(framework: str, number: str) -> tuple[str, str]:
    rules = [rule for rule in RULES if f"{framework}:{number}" in rule.controls]
    if not rules:
        return (FRAMEWORKS[framework].uncovered or {})[number], "**not covered**"
    state = "held" if any(on_prod()[rule.name] for rule in rules) else "**not evaluated**"
    return ", ".join(f"{link(rule)} {on_prod()[rule.name]}" for rule in rules), state


def _levels(framework: Framework, number: str) -> list[str]:
    return [level for level, numbers in framework.levels.items() if number in numbers]


def _natural(text: str) -> list[tuple[int, str]]:
    """Sort 5.2.10 after 5.2.9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text) if part]


def _covered(box: str) -> str:
    return "**not covered**" if box in _lacking() else "covered"


def _cases(rule: AnyRule) -> str:
    counted = Counter(case.sort for case in cases(rule.name))
    return ", ".join(f"{counted[sort]} {sort}" for sort in SORTS) if counted else "unit tests"


@cache
def _mutations() -> Counter[str]:
    return Counter(mutation.rule for mutation in mutations())


@cache
def _evaluated() -> Mapping[str, Sequence[str]]:
    return evaluated(RULES, [plain(manifest) for manifest in committed("prod").manifests])


@cache
def _lacking() -> set[str]:
    return {box for box, names in _evaluated().items() if len(names) < ENOUGH}
