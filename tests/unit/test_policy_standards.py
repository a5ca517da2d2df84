"""The rules that stand for a level of the Pod Security Standards judge as the API server's own evaluator does."""

from collections import Counter

import pytest

from policies.containers import has_pods
from policies.rule import Rule
from policies.rules import RULES
from tests.policies.servicer import Pack
from tests.policies.standards import standards

LEVELS = ("baseline", "restricted")
CHECKS = {
    "allowprivilegeescalation": "pod-no-privilege-escalation",
    "apparmorprofile": "pod-app-armor",
    "capabilities_baseline": "pod-default-capabilities",
    "capabilities_restricted": "pod-no-capabilities",
    "hostnamespaces": "pod-own-namespaces",
    "hostpathvolumes": "pod-no-host-path",
    "hostports": "pod-no-host-port",
    "hostprobesandhostlifecycle": "pod-probes-itself",
    "privileged": "pod-not-privileged",
    "procmount": "pod-proc-masked-for-host-users",
    "procmount_restricted": "pod-proc-masked",
    "restrictedvolumes": "pod-volume-types",
    "runasnonroot": "pod-non-root",
    "runasuser": "pod-user-not-root",
    "seccompprofile_baseline": "pod-seccomp-kept",
    "seccompprofile_restricted": "pod-seccomp",
    "selinuxoptions": "pod-selinux",
    "sysctls": "pod-safe-sysctls",
    "windowshostprocess": "pod-no-host-process",
}
"""Each check, as its cases are called, and the rule that is like it."""


def of_level(level: str) -> list[Rule]:
    """Return the rules about every pod; those about the pods of one component only are stricter."""
    control = f"pss:{level}"
    return [rule for rule in RULES if isinstance(rule, Rule) and control in rule.controls and rule.about is has_pods]


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


def test_every_rule_of_a_level_is_like_a_check() -> None:
    assert {rule.name for level in LEVELS for rule in of_level(level)} == set(CHECKS.values())
