"""The rules that stand for a level of the Pod Security Standards judge as the API server's own evaluator does."""

from collections import Counter

import pytest

from policies.controls import FRAMEWORKS
from policies.rule import Rule
from policies.rules import RULES
from tests.policies.servicer import Pack
from tests.policies.standards import standards

LEVELS = FRAMEWORKS["pss"].levels
CHECKS = {
    control.removeprefix("pss:").lower(): rule.name
    for rule in RULES
    for control in rule.controls
    if control.startswith("pss:")
}
"""Each check, as its cases are called, and the rule that says it is like it."""


def of_level(level: str) -> list[Rule]:
    """Return the rules that stand for a level."""
    wanted = {f"pss:{check}" for check in LEVELS[level]}
    return [rule for rule in RULES if isinstance(rule, Rule) and wanted & set(rule.controls)]


def test_no_case_is_missing() -> None:
    counts = Counter((case.level, case.passes) for case in standards())
    assert counts == {
        ("baseline", True): 15,
        ("baseline", False): 34,
        ("restricted", True): 23,
        ("restricted", False): 76,
    }
    named = {case.name.rstrip("0123456789") for case in standards() if not case.passes}
    assert named == CHECKS.keys()


@pytest.mark.parametrize("level", LEVELS)
def test_a_pod_passes_the_rules_of_a_level_if_it_passes_the_level(level: str) -> None:
    pack = Pack(rules=of_level(level))
    broken = {case.name: pack.analyze(case.pod) for case in standards() if case.level == level and case.passes}
    assert {name: said for name, said in broken.items() if said} == {}
    passed = [
        case.name for case in standards() if case.level == level and not case.passes and not pack.analyze(case.pod)
    ]
    assert passed == []


def test_a_pod_that_fails_a_check_fails_the_rule_that_is_like_it() -> None:
    pack = Pack(rules=[rule for level in LEVELS for rule in of_level(level)])
    missed = [
        (case.level, case.name)
        for case in standards()
        if not case.passes
        and CHECKS[case.name.rstrip("0123456789")] not in {said.rule for said in pack.analyze(case.pod)}
    ]
    assert missed == []
