"""What a stack is held to is data: complete, in known words, and never weaker where it matters more."""

import json
from pathlib import Path

import pytest

from policies import sdk
from policies.levels import LEVELS, PackError, levels
from policies.rules import RULES
from tests.policies.fixtures import compliant, replaced
from tests.policies.servicer import Pack
from tests.render import ROOT, STACKS

NAMES = {rule.name: rule.severity for rule in RULES}


def test_every_stack_has_levels_of_its_own() -> None:
    assert {file.name for file in (ROOT / "policies").glob("levels.*.json")} == {
        f"levels.{stack}.json" for stack in STACKS
    }


@pytest.mark.parametrize(("weaker", "stronger"), [("dev", "staging"), ("staging", "prod")])
def test_no_stack_is_weaker_than_the_one_before_it(weaker: str, stronger: str) -> None:
    before, after = levels(weaker, NAMES), levels(stronger, NAMES)
    assert [name for name in NAMES if LEVELS.index(after[name]) < LEVELS.index(before[name])] == []


def test_what_is_critical_is_mandatory_everywhere() -> None:
    for stack in STACKS:
        given = levels(stack, NAMES)
        assert {given[rule.name] for rule in RULES if rule.severity == "critical"} == {"mandatory"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"high": "mandatory"}', "levels.prod.json: low: missing; give it one of disabled, advisory, mandatory"),
        ('{"tow": "advisory"}', "levels.prod.json: tow: no such rule; did you mean two?"),
        ('{"two": "strict"}', "levels.prod.json: two: 'strict': no such level; the levels are"),
        ('{"two": ["advisory"]}', r"levels.prod.json: two: \['advisory'\]: no such level"),
        ("[]", "levels.prod.json: write"),
        ("{", "levels.prod.json: Expecting"),
    ],
)
def test_a_wrong_file_is_refused_by_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "levels.prod.json").write_text(text)
    with pytest.raises(PackError, match=message):
        levels("prod", {"one": "low", "two": "high"}, tmp_path)


def test_a_rule_has_the_level_of_its_severity_unless_it_has_one_of_its_own(tmp_path: Path) -> None:
    given = {"low": "disabled", "medium": "advisory", "high": "advisory", "critical": "mandatory", "two": "mandatory"}
    (tmp_path / "levels.prod.json").write_text(json.dumps(given))
    rules = {"one": "low", "two": "low", "three": "critical"}
    assert levels("prod", rules, tmp_path) == {"one": "disabled", "two": "mandatory", "three": "mandatory"}


def test_the_pack_is_served_at_the_levels_of_its_stack(tmp_path: Path) -> None:
    (tmp_path / "exemptions.yaml").write_text("[]")
    given = {"low": "disabled", "medium": "disabled", "high": "advisory", "critical": "mandatory"}
    (tmp_path / "levels.dev.json").write_text(json.dumps(given))
    broken = replaced(
        compliant()[0], ("spec", "template", "spec"), {"hostNetwork": True, "containers": [{"name": "bare"}]}
    )
    said = {each.rule: each.level for each in Pack("dev", directory=tmp_path).analyze(broken)}
    assert (said["pod-non-root"], said["pod-own-namespaces"]) == ("advisory", "mandatory")
    assert {NAMES[name] for name in said} <= {"high", "critical"}


def test_a_stack_without_a_file_is_held_to_what_prod_is() -> None:
    assert levels("pull-request-7", NAMES) == levels("prod", NAMES)


def test_severities_reach_the_engine() -> None:
    info = Pack().servicer.GetAnalyzerInfo(None, None)
    named = {policy.name: policy.severity for policy in info.policies}
    order = ("low", "medium", "high", "critical")
    assert {rule.name: order.index(rule.severity) + 1 for rule in RULES}.items() <= named.items()


def test_a_resource_is_taken_apart_once_for_all_rules() -> None:
    sdk._read.cache_clear()
    served = Pack()
    manifests = [replaced(each, ("metadata", "name"), f"of this test-{n}") for n, each in enumerate(compliant())]
    for _ in range(2):
        served.analyze_stack(manifests)
        served.analyze(manifests[0])
    assert sdk._read.cache_info().misses == len(manifests)
