"""Programs of others judge what prod renders: each finding is one of a rule of ours too, or is kept for a reason that is written down.

kubernetes-validate, which needs no environment of its own, is asked in tests/unit/test_stacks.py, about all stacks.
"""

import copy
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from local.packages import virtual_environment
from policies.judge import reference
from policies.rules import RULES
from policies.verdict import Verdict
from tests.judges import judges
from tests.judges.judges import Flag
from tests.judges.waivers import JUDGES, mapped, waivers
from tests.render import SECRET, Manifest

ROOT_POD: dict[str, Any] = {"privileged": True, "readOnlyRootFilesystem": False, "runAsUser": 0}
Found = dict[str, set[Flag]]
Refused = Callable[[list[Manifest]], list[list[str]]]


def unaccounted(found: Found, ours: Verdict) -> set[str]:
    """Return the findings that no rule that stands for the check has on that object, and no waiver is about."""
    broken = {(breach.finding.rule, breach.finding.resource) for breach in ours.breaches}
    return {
        f"{check}: {flag.resource}"
        for judge, flags in found.items()
        for flag in flags
        for check in [f"{judge}:{flag.check}"]
        if not any((rule.name, flag.resource) in broken for rule in mapped(check))
        if not any(waiver.of(check, flag.resource) for waiver in waivers().prod)
    }


def test_each_finding_is_ours_too_or_is_kept_for_a_reason(flags: Found, ours: Verdict) -> None:
    assert unaccounted(flags, ours) == set()


def test_each_judge_finds_what_is_kept(flags: Found) -> None:
    for waiver in waivers().prod:
        judge, _, check = waiver.check.partition(":")
        found = {flag.resource.removesuffix("-auto") for flag in flags[judge] if flag.check == check}
        assert found, f"{waiver.check}: nothing is found any more; remove the waiver"
        assert not set(waiver.objects) - found, f"{waiver.check}: not found any more; remove these"


def test_no_rule_stands_for_a_check_that_all_objects_fail() -> None:
    kept = [waiver.check for waiver in waivers().prod if not waiver.objects]
    assert [(check, rule.name) for check in kept for rule in mapped(check)] == []


def test_a_rule_stands_for_checks_that_there_are() -> None:
    checkov = [virtual_environment(judges.HERE / "checkov" / "requirements.lock") / "bin" / "checkov"]
    listed = _lines([*checkov, "--list", "--framework=kubernetes"], "|", 2)
    scored = _lines([judges.tools() / "kube-score", "list"], ",", 0)
    there = {f"checkov:{name}" for name in listed} | {f"kube-score:{name}" for name in scored}
    asked = {control for rule in RULES for control in rule.controls if control.partition(":")[0] in JUDGES}
    assert asked - there == set()
    assert {waiver.check for waiver in waivers().prod} <= there


def _lines(command: Iterable[str | Path], separator: str, place: int) -> set[str]:
    ran = subprocess.run(list(command), capture_output=True, text=True, check=True)
    cells = [line.split(separator) for line in ran.stdout.splitlines()]
    return {line[place].strip() for line in cells if len(line) > place}


def broken(prod: list[Manifest]) -> Manifest:
    deployment = copy.deepcopy(next(each for each in prod if reference(each) == "Deployment app/api"))
    deployment["spec"]["template"]["spec"]["containers"][0]["securityContext"] = ROOT_POD
    return deployment


def test_a_broken_object_is_found_by_each_judge(prod: list[Manifest], ours: Verdict, tmp_path: Path) -> None:
    files = judges.written([broken(prod)], tmp_path)
    found = {"checkov": judges.checkov(tmp_path, together=True), "kube-score": judges.kube_score(files)[0]}
    # Our verdict is of prod as it is, where these rules find nothing.
    told = unaccounted(found, ours)
    assert {
        "checkov:CKV_K8S_16: Deployment app/api",
        "checkov:CKV_K8S_22: Deployment app/api",
        "kube-score:container-security-context-privileged: Deployment app/api",
    } <= told


def test_the_api_servers_own_code_takes_every_object(prod: list[Manifest], refused: Refused) -> None:
    found = refused(prod)
    assert [(reference(each), said) for each, said in zip(prod, found, strict=True) if said] == []


@pytest.mark.parametrize(
    ("of", "wrong", "said"),
    [
        ("Deployment app/api", {"replica": 3}, "replica"),
        ("Deployment app/api", {"minReadySeconds": "soon"}, "minReadySeconds"),
        ("Certificate security/platform-root", {"dnsName": ["a.test"]}, "dnsName"),
        ("Certificate security/platform-root", {"isCA": "yes"}, "isCA"),
    ],
)
def test_a_wrong_field_is_found(of: str, wrong: Manifest, said: str, prod: list[Manifest], refused: Refused) -> None:
    right = next(each for each in prod if reference(each) == of)
    found, unheard = refused([{**right, "spec": {**right["spec"], **wrong}}, {**right, "kind": "Unheard"}])
    assert said in "".join(found)
    assert unheard, "a kind that is not known is not passed over"


def test_what_a_render_masks_is_all_that_is_left_out(prod: list[Manifest]) -> None:
    masked = {(each["kind"], key) for each in prod for key, value in each.items() if value == SECRET}
    assert masked == {("Secret", "stringData")}
