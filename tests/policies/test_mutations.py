"""From a prod that breaks no rule: each change that breaks one is found, by exactly the rules that it breaks."""

from collections.abc import Sequence

import pytest

from policies.judge import Finding, Stack, judge, judge_registered
from policies.plain import plain
from policies.rule import Manifest, Plain, ProgramRule, Registered, Rule
from policies.rules import RULES
from policies.rules.coverage import NAME as COVERAGE
from tests.policies.mutations import Mutation, mutations
from tests.render import committed


class Prod:
    """The objects of prod, read once, and what the rules find in them: what is exempted."""

    def __init__(self) -> None:
        self.read = {id(each): (each, Plain(plain(each))) for each in committed("prod").manifests}
        self.manifests = [each for each, _read in self.read.values()]
        self.exempted = self.findings(self.manifests, [], everything=True)

    def findings(
        self, manifests: Sequence[Manifest], registered: Sequence[Registered], *, everything: bool = False
    ) -> set[Finding]:
        """Return what the rules find; one about single objects need not look at those of prod again."""
        read = [
            (self.read[id(each)][1] if id(each) in self.read else plain(each), id(each) in self.read)
            for each in manifests
        ]
        looked = [each for each, known in read if everything or not known]
        stack = Stack([(each, "") for each, _known in read])
        found = list[Finding]()
        for rule in RULES:
            if isinstance(rule, ProgramRule):
                found += [finding for each in registered for finding in judge_registered(rule, each)]
            elif isinstance(rule, Rule):
                found += [finding for each in looked for finding in judge(rule, each)]
            elif rule.name != COVERAGE:
                found += stack.judge(rule)
        return set(found)


@pytest.fixture(scope="module")
def prod() -> Prod:
    return Prod()


def test_every_rule_has_a_mutation() -> None:
    assert {rule.name for rule in RULES} - {COVERAGE} == {mutation.rule for mutation in mutations()}


@pytest.mark.parametrize("mutation", mutations(), ids=lambda mutation: f"{mutation.rule} {mutation.number}")
def test_a_change_that_breaks_rules_is_found_by_exactly_those(mutation: Mutation, prod: Prod) -> None:
    found = prod.findings(mutation.apply(prod.manifests), mutation.registered()) - prod.exempted
    assert {finding.rule for finding in found} == {mutation.rule, *mutation.also}, found
