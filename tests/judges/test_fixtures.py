"""What a rule of ours passes, a check that the rule stands for passes too, or the case is disputed for a reason that is written down."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from policies.rule import Rule
from policies.rules import RULES
from tests.judges import judges
from tests.judges.waivers import JUDGES, waivers
from tests.policies.fixtures import Case, cases

PAIRS = [
    (control, rule.name)
    for rule in RULES
    if isinstance(rule, Rule)  # what a judge makes of several objects it would make of those of other cases
    for control in rule.controls
    if control.partition(":")[0] in JUDGES
]


@dataclass(frozen=True)
class Asked:
    """The cases of each rule that a check stands for, the objects of each, and which checks each object fails."""

    cases: Mapping[str, list[Case]]
    failed: Mapping[str, set[str]]

    def of(self, check: str, rule: str, *sorts: str) -> set[str]:
        """Return the names of the cases of some sorts that have an object that fails the check."""
        return {
            case.name
            for case in self.cases[rule]
            if case.sort in sorts and any(check in self.failed[json.dumps(each)] for each in case.manifests)
        }


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    """Ask both judges about each object once, however many cases it is in."""
    found = {rule: cases(rule) for _check, rule in PAIRS}
    texts = sorted({json.dumps(each) for of_rule in found.values() for case in of_rule for each in case.manifests})
    objects = [json.loads(text) for text in texts]
    place = tmp_path_factory.mktemp("fixtures")
    judges.written(objects, place)
    # Of objects with one name it keeps the last.
    named = [{**each, "metadata": {**each.get("metadata", {}), "name": f"n{n}"}} for n, each in enumerate(objects)]
    files = judges.written(named, tmp_path_factory.mktemp("named"))
    scored, unread = judges.kube_score(files)
    assert len(unread) < len(files) / 20, "objects of a wrong shape are few"
    failed: defaultdict[str, set[str]] = defaultdict(set)
    for judge, flags in (("checkov", judges.checkov(place, together=False)), ("kube-score", scored)):
        for flag in flags:
            failed[texts[int(flag.file)]].add(f"{judge}:{flag.check}")
    return Asked(found, failed)


ELSEWHERE = {
    # A role and whom it is bound to are looked at together.
    ("checkov:CKV2_K8S_1", "role-grants-no-rights"),
    ("checkov:CKV2_K8S_2", "role-enters-no-pods"),
    ("checkov:CKV2_K8S_2", "role-leaves-nodes-alone"),
    ("checkov:CKV2_K8S_3", "role-grants-no-rights"),
    ("checkov:CKV2_K8S_4", "role-leaves-traffic-alone"),
    ("checkov:CKV2_K8S_5", "role-reads-named-secrets"),
    # So are a CronJob that sets no time at all, and what a Service sends to.
    ("kube-score:cronjob-has-deadline", "workload-job-bounds"),
    ("kube-score:deployment-strategy", "workload-rolling-update"),
    # The rule asks the same of another object: annotations of an Ingress, the default account itself, one right by its name.
    ("checkov:CKV_K8S_152", "edge-no-raw-configuration"),
    ("checkov:CKV_K8S_153", "edge-no-raw-configuration"),
    ("checkov:CKV_K8S_154", "edge-no-raw-configuration"),
    ("checkov:CKV_K8S_41", "account-token-off"),
    ("checkov:CKV_K8S_156", "role-issues-no-credentials"),
    # The check knows one name, of Tiller or of a tool, or looks whether a field is there.
    ("checkov:CKV_K8S_34", "image-software-alive"),
    ("checkov:CKV_K8S_159", "pod-as-built"),
    ("checkov:CKV_K8S_30", "pod-no-capabilities"),
}
"""Where a judge finds none of the cases that a rule refuses, so they show nothing of what the two agree about."""


def disputed(check: str, rule: str) -> set[str]:
    return {case for each in waivers().fixtures if (each.check, each.rule) == (check, rule) for case in each.cases}


def test_what_a_rule_passes_is_not_disputed_but_for_a_reason(asked: Asked) -> None:
    said = {pair: asked.of(*pair, "pass", "near-miss") for pair in PAIRS}
    assert {pair: names - disputed(*pair) for pair, names in said.items() if names - disputed(*pair)} == {}
    stale = {pair: disputed(*pair) - names for pair, names in said.items() if disputed(*pair) - names}
    assert stale == {}, "the judge passes these now, or the case is gone; remove them"
    assert {(each.check, each.rule) for each in waivers().fixtures} <= set(PAIRS)


def test_judges_find_what_rules_find(asked: Asked) -> None:
    """Our rules are stricter, so only where a judge finds nothing of what a rule finds is the rule asked about something else."""
    agreed = {pair: asked.of(*pair, "fail") for pair in PAIRS}
    assert {pair for pair, names in agreed.items() if not names} == ELSEWHERE
