"""How much of the security diagram is held: for each box, the rules that have something to judge on a stack."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policies.boxes import BOXES
from policies.rule import AnyRule, Manifest, ProgramRule, Registered, StackRule

NAME = "security-boxes-covered"
ENOUGH = 2  # rules with something to judge, for each box


def evaluated(rules: Sequence[AnyRule], manifests: Sequence[Manifest]) -> Mapping[str, list[str]]:
    """Return the rules of each box that are about any of the objects.

    One about registered resources is about none; the one about all the other rules holds no box by itself.
    """
    found: dict[str, list[str]] = {box: [] for box in BOXES}
    for rule in rules:
        if (
            rule.name != NAME
            and not isinstance(rule, ProgramRule)
            and any(_about(rule, manifest) for manifest in manifests)
        ):
            found[rule.box].append(rule.name)
    return found


def judged(
    rules: Sequence[AnyRule], manifests: Sequence[Manifest], registered: Sequence[Registered] = ()
) -> Mapping[str, int]:
    """Return how many of the objects, or of the registered resources, each rule is about."""
    of = {
        rule.name: [_about(rule, each) for each in registered]
        if isinstance(rule, ProgramRule)
        else [_about(rule, manifest) for manifest in manifests]
        for rule in rules
    }
    return {name: sum(found) for name, found in of.items()}


def covered(rules: Sequence[AnyRule]) -> StackRule:
    """Return the rule that all boxes are held, given the others: an object `box waf` is in breach where too few of its rules are.

    A box whose component does not exist yet keeps its place by an exemption, which expires.
    """

    def check(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
        for box, names in evaluated(rules, manifests).items():
            if len(names) < ENOUGH:
                there = f"{len(names)} of its rules have anything to judge, of {ENOUGH} at least"
                yield _box(box), f"{BOXES[box].title} is missing: {there}; add its component"

    return StackRule(
        name=NAME,
        description="Every box of the security diagram is held by at least two rules that have something to judge.",
        why="A rule without an object to judge passes for ever: a component that was never added, or removed, goes unnoticed.",
        box="compliance-reporting",
        severity="critical",
        about=bool,
        check=check,
    )


def _box(name: str) -> Manifest:
    metadata: dict[str, Any] = {"name": name}
    return {"kind": "box", "metadata": metadata}


def _about(rule: AnyRule, one: Any) -> bool:
    try:
        return bool(rule.about(one))
    except Exception:  # noqa: BLE001 - where the rule itself is asked, that is a breach
        return True
