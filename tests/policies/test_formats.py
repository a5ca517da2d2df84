"""The reports for programs and for a pull request: each format as its readers read it, nothing left out, nothing injected."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import pytest
import yaml

from policies import formats, links
from policies.boxes import BOXES
from policies.judge import Stack
from policies.plain import plain
from policies.rules import RULES
from policies.verdict import EXEMPTIONS, Verdict, verdict
from tests.policies.fixtures import compliant, replaced
from tests.policies.servicer import Manifest, Pack, without_coverage

CONTAINER = (0, "spec", "template", "spec", "containers", 0)
DAY = date(2027, 4, 1)
SOME = ("pod-non-root", "pod-read-only", "image-version", "pod-bounded-memory", "network-default-deny")
JUDGING = [rule for rule in RULES if rule.name in SOME]
"""A few rules, so that one more in the pack changes nothing here."""

HOSTILE = 'x\x07 </td> "]]>&|\n`<script>'
EXEMPTION = {
    "rule": "pod-read-only",
    "resource": "Deployment app/api",
    "stacks": ["prod"],
    "reason": "writes <its> own|configuration",
    "owner": "app",
    "approver": "security",
    "expires": date(2027, 4, 30),
}


def broken() -> list[Manifest]:
    """Return objects of which one breach is exempted, two refuse, two warn and one object has a name to beware of."""
    changed = replaced(compliant(), (*CONTAINER, "securityContext", "readOnlyRootFilesystem"), new=False)
    changed = replaced(changed, (*CONTAINER, "image"), "api:latest")
    odd = replaced(changed[0], ("metadata", "name"), HOSTILE)
    return [*changed, odd]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    place = without_coverage(tmp_path, **{"image-version": "advisory", "pod-bounded-memory": "disabled"})
    (place / "exemptions.yaml").write_text(yaml.safe_dump([EXEMPTION]))
    return place


@pytest.fixture
def found(directory: Path) -> Verdict:
    return verdict("prod", Stack([(plain(each), "") for each in broken()]), directory, DAY, JUDGING)


def sarif(found: Verdict) -> Any:
    return json.loads(formats.FORMATS["policy.sarif"](found))


def junit(found: Verdict) -> ElementTree.Element:
    return ElementTree.fromstring(formats.FORMATS["policy.junit.xml"](found))


def test_the_cases_are_what_these_tests_are_about(found: Verdict) -> None:
    assert [(each.rule.name, each.level, each.exemption is not None) for each in found.breaches] == [
        ("image-version", "advisory", False),
        ("image-version", "advisory", False),
        ("pod-read-only", "mandatory", True),
        ("pod-read-only", "mandatory", False),
    ]
    assert found.refused


def test_sarif_has_what_the_standard_requires(found: Verdict) -> None:
    """The properties that SARIF 2.1.0 requires, and the values it allows, of each object that is written here."""
    log = sarif(found)
    assert log["version"] == "2.1.0"
    assert urlsplit(log["$schema"]).path.endswith("/sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    assert run.keys() <= {"tool", "results", "automationDetails", "columnKind"}
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    assert run["automationDetails"]["id"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids)) == len(JUDGING) + 1
    for rule in driver["rules"]:
        assert rule.keys() <= {
            "id",
            "shortDescription",
            "fullDescription",
            "help",
            "helpUri",
            "defaultConfiguration",
            "properties",
        }
        assert all(rule[key]["text"] for key in ("shortDescription", "fullDescription", "help"))
        assert urlsplit(rule["helpUri"]).scheme == "https", "an absolute URI"
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
        assert isinstance(rule["defaultConfiguration"]["enabled"], bool)
        tags = rule["properties"]["tags"]
        assert len(tags) == len(set(tags)), "unique items"
        assert 0 < float(rule["properties"]["security-severity"]) <= 10
    for result in run["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert result["message"]["text"]
        assert all(re.fullmatch(r"[0-9a-f]{64}", text) for text in result["partialFingerprints"].values())
        for location in result["locations"]:
            physical = location["physicalLocation"]
            assert physical["region"]["startLine"] >= 1
            assert not urlsplit(physical["artifactLocation"]["uri"]).scheme, "from the root of the repository"
            for logical in location["logicalLocations"]:
                assert logical["fullyQualifiedName"]
                assert logical["kind"] == "resource"
        # 3.27.23: of all results of a run, or of none.
        for suppression in result["suppressions"]:
            assert suppression["kind"] in ("inSource", "external")
            assert suppression["status"] in ("accepted", "underReview", "rejected")
            assert suppression["justification"]


def test_sarif_has_each_breach_and_what_suppresses_it(found: Verdict) -> None:
    (run,) = sarif(found)["runs"]
    told = [(result["ruleId"], result["level"], len(result["suppressions"])) for result in run["results"]]
    assert told == [
        ("image-version", "warning", 0),
        ("image-version", "warning", 0),
        ("pod-read-only", "error", 1),
        ("pod-read-only", "error", 0),
    ]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["pod-bounded-memory"]["defaultConfiguration"]["enabled"] is False
    scores = {rule.severity: rules[rule.name]["properties"]["security-severity"] for rule in (*JUDGING, EXEMPTIONS)}
    assert scores.items() <= {"critical": "9.5", "high": "8.0", "medium": "5.5", "low": "3.0"}.items()
    assert {"box:authorization", "pss:runAsNonRoot", "cis:5.2.7"} <= set(rules["pod-non-root"]["properties"]["tags"])
    assert "approver security, until 2027-04-30" in run["results"][2]["suppressions"][0]["justification"]


def test_fingerprints_tell_breaches_apart_and_stay(found: Verdict, directory: Path) -> None:
    def fingerprints(found: Verdict) -> list[str]:
        return [result["partialFingerprints"]["ruleObjectBreach/v1"] for result in sarif(found)["runs"][0]["results"]]

    backwards = verdict("prod", Stack([(plain(each), "") for each in reversed(broken())]), directory, DAY, JUDGING)
    assert fingerprints(backwards) == fingerprints(found)
    assert len(set(fingerprints(found))) == len(found.breaches)


def test_junit_has_a_suite_for_each_box_and_a_case_for_each_rule(found: Verdict) -> None:
    root = junit(found)
    assert [suite.get("name") for suite in root] == [box.title for box in BOXES.values()]
    cases = {str(case.get("name")): case for case in root.iter("testcase")}
    assert cases.keys() == {rule.name for rule in (*JUDGING, EXEMPTIONS)}
    for element in (root, *root.iter("testsuite")):
        for count, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert element.get(count) == str(len(list(element.iter(tag))))
    failures = {name: [str(each.text) for each in case.iter("failure")] for name, case in cases.items()}
    (failure,) = failures.pop("pod-read-only")
    assert "readOnlyRootFilesystem: true" in failure
    assert "#pod-read-only" in failure
    assert not any(failures.values()), "what is advisory does not fail, nor what is exempted"
    shown = {name: case.findtext("system-out", "") for name, case in cases.items()}
    assert "until 2027-04-30 by security: writes <its> own|configuration" in shown["pod-read-only"]
    assert "give it a version" in shown["image-version"]
    skipped = {
        name: case.findall("skipped")[0].get("message")
        for name, case in cases.items()
        if case.find("skipped") is not None
    }
    assert "disabled" in str(skipped["pod-bounded-memory"])


def test_a_rule_with_nothing_to_judge_has_not_passed(directory: Path) -> None:
    (directory / "exemptions.yaml").write_text("[]")
    found = verdict("prod", Stack([({"kind": "ConfigMap", "metadata": {"name": "a"}}, "")]), directory, DAY, JUDGING)
    case = next(case for case in junit(found).iter("testcase") if case.get("name") == "pod-non-root")
    assert case.find("skipped") is not None
    told = json.loads(formats.FORMATS["policy.json"](found))
    assert {rule["name"]: rule["objects"] for rule in told["rules"]}["pod-non-root"] == 0


def test_a_rule_that_only_exempted_objects_break_has_not_passed(directory: Path) -> None:
    found = verdict("prod", Stack([(plain(each), "") for each in broken()[:2]]), directory, DAY, JUDGING)
    case = next(case for case in junit(found).iter("testcase") if case.get("name") == "pod-read-only")
    assert [element.get("message") for element in case.iter("skipped")] == ["each breach is exempted"]


def test_json_has_all_of_it(found: Verdict) -> None:
    told = json.loads(formats.FORMATS["policy.json"](found))
    assert (told["stack"], told["refused"], told["objects"]) == ("prod", True, len(broken()))
    assert len(told["rules"]) == len(JUDGING) + 1
    exempted = [breach for breach in told["breaches"] if breach["exemption"]]
    assert [(each["rule"], each["resource"], each["severity"]) for each in exempted] == [
        ("pod-read-only", "Deployment app/api", "high")
    ]
    assert exempted[0]["exemption"]["expires"] == "2027-04-30"


def test_the_summary_is_a_table_that_no_name_breaks(found: Verdict) -> None:
    text = formats.FORMATS["policy.md"](found)
    assert text.startswith(
        f"### Policies: `prod` is refused\n\n1 refused, 2 warned of, 1 exempted. {len(broken())} objects"
    )
    for line in text.splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4, line
    assert "<script>" not in text
    assert "<its>" not in text
    assert "[pod-read-only](https://" in text


def test_of_one_rule_the_summary_shows_the_first_breaches(directory: Path) -> None:
    (directory / "exemptions.yaml").write_text("[]")
    many = [replaced(broken()[0], ("metadata", "name"), f"api-{n:02}") for n in range(15)]
    text = formats.FORMATS["policy.md"](verdict("prod", Stack([(each, "") for each in many]), directory, DAY, JUDGING))
    assert "api-09" in text
    assert "api-10" not in text
    assert "and 5 more" in text


def test_the_pack_in_the_engine_writes_the_same(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: Verdict
) -> None:
    place = tmp_path / "reports" / "prod"
    monkeypatch.setenv("POLICY_REPORTS", str(place))
    Pack(rules=JUDGING, directory=directory, today=lambda: DAY).analyze_stack(broken())
    for name, text in formats.FORMATS.items():
        assert (place / name).read_text() == text(found), name


def test_every_rule_has_a_place_that_its_name_says() -> None:
    for rule in RULES:
        assert re.fullmatch(r"docs/policies/[a-z]+\.md#[a-z-]+", links.page(rule))
        assert links.address(rule).endswith(links.page(rule))
