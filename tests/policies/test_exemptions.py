"""An exemption suppresses one breach, visibly and for a while; one that is not needed, not approved or over is a breach."""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.exemptions import load
from policies.levels import PackError
from policies.report import report
from policies.rules import RULES
from tests.policies.fixtures import compliant, replaced
from tests.policies.servicer import Manifest, Pack, Said, without_coverage

NAMES = [rule.name for rule in RULES]
TODAY = date(2027, 4, 30)
ENTRY: dict[str, Any] = {
    "rule": "pod-read-only",
    "resource": "Deployment app/api",
    "stacks": ["prod"],
    "reason": "writes its own configuration",
    "owner": "app",
    "approver": "security",
    "expires": date(2027, 4, 30),
}


OTHERS = {"more": ENTRY["reason"], "last": "writes a file of its own"}


def broken() -> list[Manifest]:
    where = (0, "spec", "template", "spec", "containers", 0, "securityContext", "readOnlyRootFilesystem")
    return replaced(compliant(), where, new=False)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return without_coverage(tmp_path)


def judged(
    directory: Path, manifests: list[Manifest], day: date = TODAY, change: dict[str, Any] | None = None
) -> list[Said]:
    """Return what is said, with one exemption, of all objects one by one and then together."""
    (directory / "exemptions.yaml").write_text(yaml.safe_dump([ENTRY | (change or {})]))
    served = Pack(directory=directory, today=lambda: day)
    alone = [said for manifest in manifests for said in served.analyze(manifest)]
    together = served.analyze_stack(manifests)
    lines, code = report("prod", manifests, directory, day)
    # The report and the engine say the same: one code path, one clock.
    assert {said.rule for said in (*alone, *together)} == {re.split("[: ]+", line)[1] for line in lines[:-1]}
    assert code == int(any(said.level == "mandatory" for said in (*alone, *together)))
    return [*alone, *together]


def test_on_its_last_day_it_suppresses_and_shows_the_breach(directory: Path) -> None:
    (said,) = judged(directory, broken())
    assert (said.rule, said.level) == ("exempted", "advisory")
    assert "pod-read-only (high): Deployment app/api: spec.template" in said.message
    assert "until 2027-04-30 by security: writes its own configuration" in said.message


def test_what_breaks_a_rule_for_one_reason_is_shown_in_one_line(directory: Path) -> None:
    other, last = ({**ENTRY, "resource": f"Deployment app/{name}", "reason": why} for name, why in OTHERS.items())
    (directory / "exemptions.yaml").write_text(yaml.safe_dump([ENTRY, other, last]))
    first, *rest = broken()
    more = [{**first, "metadata": {**first["metadata"], "name": name}} for name in OTHERS]
    served = Pack(directory=directory, today=lambda: TODAY)
    messages = [said.message for said in served.analyze_stack([first, *more, *rest]) if said.rule == "exempted"]
    assert len(messages) == 2
    assert sum("Deployment app/api: spec" in each and "; Deployment app/more: spec" in each for each in messages) == 1
    assert [each.count("(exempted until") for each in messages] == [1, 1]


def test_the_day_after_the_breach_is_one_again(directory: Path) -> None:
    breach, expired = judged(directory, broken(), date(2027, 5, 1))
    assert (breach.rule, breach.level) == ("pod-read-only", "mandatory")
    assert (expired.rule, expired.level) == ("exemptions", "mandatory")
    assert "expired on 2027-04-30" in expired.message


@pytest.mark.parametrize(("days", "exempted"), [(180, True), (181, False)])
def test_it_is_not_for_longer_than_half_a_year(directory: Path, days: int, exempted: bool) -> None:
    said = judged(directory, broken(), TODAY - timedelta(days=days))
    if exempted:
        assert [each.rule for each in said] == ["exempted"]
    else:
        breach, too_long = said
        assert breach.rule == "pod-read-only"
        assert (too_long.rule, too_long.level) == ("exemptions", "mandatory")
        assert "expires more than 180 days ahead; set expires to 2027-04-29 or earlier" in too_long.message


@pytest.mark.parametrize("approver", ["", "app"])
def test_nobody_approves_their_own(directory: Path, approver: str) -> None:
    breach, unapproved = judged(directory, broken(), change={"approver": approver})
    assert breach.rule == "pod-read-only"
    assert "not approved" in unapproved.message


@pytest.mark.parametrize("change", [{"resource": "Deployment app/other"}, {"rule": "pod-non-root"}])
def test_of_another_object_or_rule_it_suppresses_nothing_and_is_stale(directory: Path, change: dict[str, str]) -> None:
    breach, stale = judged(directory, broken(), change=change)
    assert breach.rule == "pod-read-only"
    assert "stale" in stale.message


def test_it_is_stale_once_the_object_passes(directory: Path) -> None:
    (stale,) = judged(directory, compliant())
    assert (stale.rule, stale.level) == ("exemptions", "mandatory")
    assert "stale" in stale.message


def test_it_is_of_its_stacks_only(directory: Path) -> None:
    (breach,) = judged(directory, broken(), change={"stacks": ["dev"]})
    assert breach.rule == "pod-read-only"


def test_a_rule_about_the_whole_stack_can_be_exempted_for_one_object(directory: Path) -> None:
    some_pods = {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}
    manifests = replaced(compliant(), (1, "spec", "podSelector"), some_pods)
    said = judged(directory, manifests, change={"rule": "network-default-deny"})
    assert {(each.rule, each.level) for each in said} == {("exempted", "advisory")}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (ENTRY | {"rule": "pod-raed-only"}, r"exemptions.yaml: \[0\].rule: pod-raed-only: no such rule"),
        (ENTRY | {"reason": ""}, r"exemptions.yaml: \[0\].reason: write a str"),
        (ENTRY | {"expires": "soon"}, r"exemptions.yaml: \[0\].expires: write a day, as 2027-04-30"),
        (ENTRY | {"stacks": "prod"}, r"exemptions.yaml: \[0\].stacks: write a list"),
        (ENTRY | {"until": "soon"}, r"exemptions.yaml: \[0\].until: unknown key; the keys are rule, "),
        ({key: ENTRY[key] for key in ENTRY if key != "owner"}, r"exemptions.yaml: \[0\].owner: write a str"),
        ("pod-read-only", r"exemptions.yaml: \[0\]: write rule, resource"),
    ],
)
def test_a_wrong_entry_is_refused_by_file_and_key(tmp_path: Path, entry: Any, message: str) -> None:
    file = tmp_path / "exemptions.yaml"
    file.write_text(yaml.safe_dump([entry]))
    with pytest.raises(PackError, match=message):
        load("prod", NAMES, file)
    file.write_text("nothing: yet")
    with pytest.raises(PackError, match=r"exemptions.yaml: write a list"):
        load("prod", NAMES, file)
