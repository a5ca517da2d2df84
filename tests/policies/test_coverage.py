"""A box of the security diagram is held by rules that have something to judge, or it is said to be missing."""

from collections.abc import Iterator

from policies.boxes import BOXES
from policies.judge import Stack
from policies.rule import Manifest, Rule, kinds
from policies.rules import RULES
from policies.rules.coverage import covered, evaluated
from tests.policies.servicer import UNKNOWN


def nothing(_manifest: Manifest) -> Iterator[str]:
    return iter(())


def rules(per_box: int) -> list[Rule]:
    return [
        Rule(
            name=f"{box}-{n}",
            description="",
            why="",
            box=box,
            severity="low",
            about=kinds("Pod", "Gateway" if box == "waf" else "Service"),
            check=nothing,
        )
        for box in BOXES
        for n in range(per_box)
    ]


def missing(given: list[Rule], *manifests: Manifest) -> list[str]:
    return [finding.resource for finding in Stack([(each, "") for each in manifests]).judge(covered(given))]


def test_two_rules_that_judge_an_object_hold_a_box() -> None:
    assert missing(rules(2), {"kind": "Pod"}) == []
    assert missing(rules(2), {"kind": "Service"}) == ["box waf"]
    assert missing(rules(2), {"kind": "Service"}, {"kind": "Gateway"}) == []


def test_one_rule_or_nothing_to_judge_is_not_enough() -> None:
    assert missing(rules(1), {"kind": "Pod"}) == [f"box {box}" for box in BOXES]
    assert missing(rules(2), {"kind": "ConfigMap"}) == [f"box {box}" for box in BOXES]


def test_what_an_object_is_may_be_unknown() -> None:
    assert missing(rules(2), {"kind": UNKNOWN}) == [f"box {box}" for box in BOXES]


def test_every_rule_is_of_a_box() -> None:
    assert {rule.box for rule in RULES} <= BOXES.keys()
    assert evaluated(RULES, [{"kind": "Pod", "spec": {}}])["compliance-reporting"] == []
