"""What the cluster repeats: every critical rule about one object, or a reason; what it says of it, tests/engine/test_admission.py asks."""

import pytest

from policies.admission import NOT_REPEATED, repeated
from policies.exemptions import load
from policies.rule import Rule
from policies.rules import RULES
from tests.render import STACKS

OF_ONE_OBJECT = {rule.name: rule for rule in RULES if isinstance(rule, Rule)}
REPEATED = {name for name, rule in OF_ONE_OBJECT.items() if rule.admission}


def test_every_critical_rule_about_one_object_is_repeated_or_says_why_not() -> None:
    critical = {name for name, rule in OF_ONE_OBJECT.items() if rule.severity == "critical"}
    assert critical - REPEATED == NOT_REPEATED.keys()
    assert len(NOT_REPEATED) <= 3
    assert all(len(reason.split()) > 5 for reason in NOT_REPEATED.values())


def test_what_is_without_a_pod_says_which_parts_are_judged() -> None:
    """A change of nothing among them is let through: without any, every change would be."""
    for name, spec in repeated(RULES, ["app"]):
        same = next(each["expression"] for each in spec["variables"] if each["name"] == "unchanged")
        assert " == " in same, name


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_exempted_that_the_cluster_refuses_all_the_same(stack: str) -> None:
    exempted = {exemption.rule for exemption in load(stack, [rule.name for rule in RULES])}
    assert not exempted & REPEATED
