"""Each rule fires on what it forbids, not on what it allows, and not on any stack of ours; nothing it meets makes it fail."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pulumi.runtime.proto import analyzer_pb2

from policies.boxes import BOXES
from policies.containers import has_pods
from policies.images import has_images
from policies.judge import Finding, Stack, judge_all
from policies.plain import objects, plain
from policies.rule import AnyRule, Plain, ProgramRule, Rule, StackRule, Unreadable, UnreadableError, at
from policies.rules import RULES
from tests.policies.fixtures import SORTS, Case, cases, compliant, paths, registered, replaced
from tests.policies.servicer import UNKNOWN, Manifest, Pack, _resource, _said, said_by, secret
from tests.policies.wrappings import wrapped
from tests.render import STACKS, committed

BY_NAME = {rule.name: rule for rule in RULES}
OF_THE_PROGRAM = {rule.name for rule in RULES if isinstance(rule, ProgramRule)}
COVERAGE = "security-boxes-covered"  # about the other rules, not about objects: tests/policies/test_coverage.py
ALL = [case for rule in RULES for case in cases(rule.name)]
FAILING = [case for case in ALL if case.sort == "fail"]
ABOUT_PODS = [rule for rule in RULES if isinstance(rule, Rule) and rule.about in (has_pods, has_images)]
OF_PODS = [case for case in FAILING if BY_NAME[case.rule] in ABOUT_PODS]
PLANTED = "planted-secret"
HIDDEN: list[Any] = [UNKNOWN, secret(PLANTED)]
ODD: tuple[Any, ...] = (None, "", "odd", 0, 3.5, True, [], {}, [None], [[]], {"items": [1]}, secret([PLANTED]))

LOOKS: list[Callable[[Any], object]] = [
    lambda value: value == 0,
    lambda value: value != 0,
    lambda value: value in (0, 1),
    lambda value: "ALL" in value,
    lambda value: not value,
    lambda value: value < 1,
    list,
    len,
    lambda value: value["key"],
    lambda value: f"{value}",
    lambda value: {value: 1},
    lambda value: at({"spec": value}, "spec.replicas"),
    lambda value: at({"spec": value}, "spec"),
]
TYPED: list[tuple[Manifest, str, list[str]]] = [
    ({"kind": "Deployment"}, "kubernetes:apps/v1:DeploymentPatch", ["Deployment"]),
    ({"kind": "DeploymentPatch"}, "kubernetes:apps/v1:DeploymentPatch", ["Deployment"]),
    ({}, "kubernetes:apps/v1:DeploymentPatch", ["Deployment"]),
    ({"items": [{}, {"kind": "Pod"}]}, "kubernetes:apps/v1:DeploymentList", ["Deployment", "Pod"]),
    ({"kind": "List", "items": [{"kind": "PodList", "items": [{}]}]}, "", ["Pod"]),
    ({"kind": "AllowList"}, "", ["AllowList"]),
    ({"kind": "JSONPatch"}, "", ["JSONPatch"]),
]


@pytest.fixture(scope="module")
def pack() -> Pack:
    return Pack()


def named(case: Case) -> str:
    return f"{case.rule}: {case.name}"


@pytest.mark.parametrize("stack", STACKS)
def test_our_stacks_pass(stack: str) -> None:
    served, manifests = Pack(stack), committed(stack).manifests
    # The manifests are as they are made; the options, and what is no object, are with what was registered.
    alone = [said for manifest in manifests for said in served.analyze(manifest) if said.rule not in OF_THE_PROGRAM]
    assert alone == []
    everything = [(each["name"], said) for each in committed(stack).registered for said in served.register(each)]
    assert [(name, said) for name, said in everything if said.rule in OF_THE_PROGRAM] == []
    assert [said for said in served.analyze_stack(manifests) if said.rule != "exempted"] == []


def test_the_program_of_the_fixtures_is_compliant(pack: Pack) -> None:
    said = [*(each for manifest in compliant() for each in pack.analyze(manifest)), *pack.analyze_stack(compliant())]
    assert [each for each in said if each.rule in BY_NAME and each.rule != COVERAGE] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_described(rule: AnyRule) -> None:
    assert rule.box in BOXES
    assert rule.description.endswith(".")
    assert rule.why.endswith(".")
    assert all(":" in control for control in rule.controls)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.name != COVERAGE], ids=lambda rule: rule.name)
def test_a_rule_has_fixtures(rule: AnyRule) -> None:
    mine = [case for case in ALL if case.rule == rule.name]
    count = {sort: len([case for case in mine if case.sort == sort]) for sort in SORTS}
    assert count["fail"] >= 2
    assert count["pass"] >= 1
    assert count["near-miss"] >= 1
    assert len(mine) == sum(count.values()), f"a sort of case is none of {SORTS}"


@pytest.mark.parametrize("case", ALL, ids=named)
def test_a_rule_fires_on_what_it_forbids_and_on_nothing_else(case: Case) -> None:
    rule = BY_NAME[case.rule]
    said = said_by(rule, case.manifests)
    assert bool(said) == (case.sort == "fail"), said
    for _rule, level, message in said:
        assert level == "mandatory"
        where = r"\S+( \S+)?: \S+ .*; [a-z]+ " if isinstance(rule, StackRule) else r"[a-z]\S* .*; [a-z]+ "
        assert re.match(where, message), "say whose it is, where, what is wrong; and what to do"


def found_in(rule: AnyRule, read: list[Any]) -> list[Finding]:
    """Return what a rule finds in objects, or in registered resources, as it reads them."""
    if isinstance(rule, ProgramRule):
        return judge_all([rule], Stack([], read))
    return judge_all([rule], Stack([(each, "") for each in read]))


@pytest.mark.parametrize("case", OF_PODS, ids=named)
def test_no_wrapping_hides_a_container(case: Case) -> None:
    served = Pack(rules=[BY_NAME[case.rule]])
    for manifest, token in wrapped(case.manifests[0]):
        assert case.rule in {said.rule for said in served.analyze(manifest, token)}, manifest


@pytest.mark.parametrize("hidden", HIDDEN, ids=["unknown", "secret"])
@pytest.mark.parametrize("case", FAILING, ids=named)
def test_what_cannot_be_read_never_makes_a_breach_pass(case: Case, hidden: Any) -> None:
    rule = BY_NAME[case.rule]
    about_program = isinstance(rule, ProgramRule)
    as_read: Callable[[Manifest], Any] = registered if about_program else lambda manifest: Plain(plain(manifest))
    everything = [as_read(each) for each in case.manifests]
    for number, manifest in enumerate(case.manifests):
        for path in paths(manifest):
            # Of a registered resource, only the properties can be unknown or secret.
            if not about_program or (len(path) > 1 and path[0] == "properties"):
                changed = as_read(replaced(manifest, path, hidden))
                assert found_in(rule, [*everything[:number], changed, *everything[number + 1 :]]), (number, path)


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("pod-user-not-root", "runAsUser"),
        ("pod-not-privileged", "privileged"),
        ("pod-no-capabilities", "capabilities"),
        ("pod-read-only", "readOnlyRootFilesystem"),
    ],
)
def test_an_unknown_that_a_rule_had_to_read_is_named(rule: str, path: str) -> None:
    where = (0, "spec", "template", "spec", "containers", 0, "securityContext", path)
    (said,) = said_by(BY_NAME[rule], replaced(compliant(), where, UNKNOWN))
    assert said.level == "mandatory"
    assert f"containers[0].securityContext.{path} is not known yet" in said.message


def test_no_shape_makes_the_pack_fail_and_no_secret_is_shown(pack: Pack) -> None:
    whole = compliant()
    for path in paths(whole):
        if len(path) > 1:
            for odd in ODD:
                changed = replaced(whole, path, odd)
                said = [*pack.analyze(changed[path[0]]), *pack.analyze_stack(changed)]
                assert PLANTED not in str([each.message for each in said])


def made(name: str, check: Callable[[Manifest], Iterator[str]]) -> Rule:
    return Rule(name=name, description="A test.", why="A test.", box="waf", severity="high", about=bool, check=check)


def test_a_rule_that_crashes_is_a_breach_and_keeps_the_value_to_itself() -> None:
    def crash(manifest: Manifest) -> Iterator[str]:
        yield "spec is wrong; set it"
        raise ValueError(manifest["metadata"]["name"])

    manifest = {**compliant()[0], "metadata": {"name": PLANTED}}
    first, second = said_by(made("crashing", crash), [manifest])
    assert first.message == "spec is wrong; set it"
    assert second.message.startswith("cannot be judged: ValueError in test_rules.py, line ")
    assert PLANTED not in second.message
    assert second.level == "mandatory"


def test_the_values_of_a_secret_are_not_for_rules_to_see() -> None:
    def show(manifest: Manifest) -> Iterator[str]:
        yield f"{manifest}"

    for manifest in (
        {"apiVersion": "v1", "kind": "Secret", "stringData": {"key": PLANTED}},
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"key": secret({"deep": [PLANTED]})}},
    ):
        (said,) = said_by(made("showing", show), [manifest])
        assert PLANTED not in said.message
        assert "key" in said.message


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_a_number_cannot_be_judged(number: float) -> None:
    changed = replaced(compliant()[0], ("spec", "template", "spec", "containers", 0, "image"), number)
    (said,) = said_by(BY_NAME["image-version"], [changed])
    assert said.message.startswith("cannot be judged: spec.template.spec.containers[0].image is not a number; ")


@pytest.mark.parametrize(
    ("version", "kind", "found"),
    [
        ("v1", "ConfigMap", False),
        ("networking.k8s.io/v1", "NetworkPolicy", False),
        ("apps/v1", "ControllerRevision", True),
        ("jobset.x-k8s.io/v1", "JobSet", True),
        ("fake.networking.k8s.io/v1", "NetworkPolicy", True),
        (None, "ConfigMap", True),
        (["v1"], "ConfigMap", True),
        ("v1", "Pod", True),
    ],
)
def test_only_kubernetes_own_kinds_without_pods_are_not_searched_for_them(version: Any, kind: str, found: bool) -> None:
    manifest: Manifest = {"apiVersion": version, "kind": kind, "spec": {"containers": [{"name": "it"}]}}
    assert has_pods(manifest) is found


def test_a_resource_with_a_provider_and_options_is_judged_and_never_changed(pack: Pack) -> None:
    manifest = replaced(compliant()[0], ("spec", "template", "spec", "containers", 0, "image"), "platform/api:latest")
    request = analyzer_pb2.AnalyzeRequest(**_resource(manifest, "", 0))
    request.options.protect = True
    request.provider.type = "pulumi:providers:kubernetes"
    request.provider.properties.update({"kubeconfig": secret(PLANTED)})
    assert [each.rule for each in _said(pack.servicer.Analyze(request, None))] == ["image-version"]
    assert pack.servicer.Remediate(request, None) == analyzer_pb2.RemediateResponse()


def test_only_kubernetes_objects_are_judged_as_such(pack: Pack) -> None:
    said = pack.analyze({"kind": "Pod", "spec": {"containers": [{}]}}, "random:index:RandomPassword")
    assert {each.rule for each in said} <= OF_THE_PROGRAM


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_at_what_cannot_be_read_is_told(look: Callable[[Any], object]) -> None:
    with pytest.raises(UnreadableError, match=r"^spec is a secret$"):
        look(Unreadable("spec", "a secret"))


def test_a_pod_whose_containers_are_unknown_is_one_in_any_kind(pack: Pack) -> None:
    changed = replaced(compliant()[0], ("spec", "template", "spec", "containers"), UNKNOWN)
    known, other = (
        {each.rule for each in pack.analyze({**changed, "kind": kind}) if BY_NAME[each.rule].about is has_pods}
        for kind in ("Deployment", "Rollout")
    )
    assert known == other
    assert known >= {"pod-not-privileged", "pod-no-capabilities", "pod-read-only", "pod-non-root"}


@pytest.mark.parametrize(("properties", "token", "kinds"), TYPED)
def test_lists_and_patches_are_what_they_are_of(properties: Manifest, token: str, kinds: list[str]) -> None:
    assert [manifest["kind"] for _path, manifest in objects(properties, token)] == kinds


def test_whole_numbers_are_shown_as_they_were_written() -> None:
    def show(manifest: Manifest) -> Iterator[str]:
        yield f"{manifest['spec']}"

    manifest = {"kind": "Service", "spec": {"port": 80, "share": 0.5}}
    (said,) = said_by(made("showing", show), [manifest])
    assert "'port': 80," in said.message.replace("}", ",")
