"""The controls that rules say they hold exist, under the names of known frameworks; and none is left out without a reason."""

import re
from collections import Counter

import pytest

from policies.boxes import BOXES
from policies.controls import FRAMEWORKS
from policies.rules import RULES

OF_RULES = [(rule.name, *control.split(":", 1)) for rule in RULES for control in rule.controls]
OF_BOXES = {number for box in BOXES.values() for number in box.nist}
SECTION_5 = {"5.1": 13, "5.2": 12, "5.3": 2, "5.4": 2, "5.5": 1, "5.6": 4}
"""How many recommendations each part of section 5 of the CIS benchmark has."""
OF_NSA = 26
"""How many controls Kubescape's framework NSA has."""


def used(framework: str) -> set[str]:
    """Return the numbers of a framework that something here holds."""
    return OF_BOXES if framework == "nist" else {number for _rule, name, number in OF_RULES if name == framework}


def test_a_rule_has_controls_of_known_frameworks_only() -> None:
    assert {name for _rule, name, _number in OF_RULES} == FRAMEWORKS.keys() - {"nist"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_control_is_held_or_has_the_reason_why_not(framework: str) -> None:
    said = FRAMEWORKS[framework]
    uncovered = set(said.uncovered or {})
    assert used(framework) - said.controls.keys() == set(), (
        "a control without a title; add it to policies/controls.yaml"
    )
    assert said.controls.keys() - used(framework) == uncovered, "held by nothing without a reason, or with one and held"


def test_a_rule_names_each_control_once() -> None:
    assert [each for each, count in Counter(OF_RULES).items() if count > 1] == []


def test_what_is_here_as_a_whole_is_whole() -> None:
    assert {name for name, said in FRAMEWORKS.items() if said.uncovered is not None} == {"cis", "nsa", "pss"}
    section = {number for number in FRAMEWORKS["cis"].controls if number.startswith("5.")}
    assert section == {f"{part}.{number}" for part, last in SECTION_5.items() for number in range(1, last + 1)}
    assert len(FRAMEWORKS["nsa"].controls) == OF_NSA


def test_a_rule_is_one_check_of_the_pod_security_standards() -> None:
    checks = [(rule, number) for rule, name, number in OF_RULES if name == "pss"]
    assert len(checks) == len({rule for rule, _number in checks}) == len({number for _rule, number in checks})
    levels = FRAMEWORKS["pss"].levels
    assert {number for numbers in levels.values() for number in numbers} == FRAMEWORKS["pss"].controls.keys()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_what_is_said_of_a_framework_can_be_shown_in_a_table(framework: str) -> None:
    said = FRAMEWORKS[framework]
    reasons = list((said.uncovered or {}).values())
    assert said.read.rstrip().endswith(".")
    assert all(reason.endswith(".") for reason in reasons)
    assert not any("|" in text or "\n" in text for text in (*said.controls.values(), *reasons))
    named = {word for reason in reasons for word in re.findall(r"`([a-z]+-[a-z-]+)`", reason)}
    assert named <= {rule.name for rule in RULES}
