"""A rule about registered resources: of any provider, with their options, guarded and exempted as the others are."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from policies.judge import judge_registered
from policies.report import report
from policies.resource_types import TYPES, known
from policies.rule import ProgramRule, Registered, at
from policies.rules.program import PROGRAM_RULES
from tests.policies.fixtures import compliant
from tests.policies.servicer import UNKNOWN, Manifest, Pack, said_by, secret, without_coverage
from tests.render import STACKS, committed

PLANTED = "planted-secret"
PASSWORD: Manifest = {
    "token": "random:index/randomPassword:RandomPassword",
    "name": "password",
    "properties": {"length": 8},
    "options": {"ignoreChanges": ["length"]},
}


def anything(_registered: Registered) -> bool:
    return True


def made(check: Any) -> ProgramRule:
    return ProgramRule(
        name="a-test", description="A test.", why="A test.", box="waf", severity="high", about=anything, check=check
    )


def test_it_is_asked_of_every_type_with_the_options_it_is_registered_with() -> None:
    def show(registered: Registered) -> Iterator[str]:
        yield f"{registered}"

    wanted = {"protect": True, "ignoreChanges": ["a"], "deleteBeforeReplace": True, "additionalSecretOutputs": ["b"]}
    for token in ("random:index/randomPassword:RandomPassword", "pulumi:providers:kubernetes", "platform:index:Api"):
        (said,) = said_by(made(show), [{"token": token, "name": "it", "properties": {"n": 1}, "options": wanted}])
        assert said.message == str(
            Registered(
                token=token,
                name="it",
                properties={"n": 1},
                protect=True,
                delete_before_replace=True,
                ignore_changes=("a",),
                additional_secret_outputs=("b",),
            )
        )


def test_what_crashes_or_cannot_be_read_is_a_breach_and_shows_no_value() -> None:
    def crash(registered: Registered) -> Iterator[str]:
        raise ValueError(registered.name)
        yield ""

    def read(registered: Registered) -> Iterator[str]:
        yield f"{at(registered.properties, 'length')}"

    (said,) = said_by(made(crash), [{**PASSWORD, "name": PLANTED}])
    assert said.message.startswith("cannot be judged: ValueError in test_program.py, line ")
    for hidden in (UNKNOWN, secret(PLANTED)):
        (said,) = said_by(made(read), [{**PASSWORD, "properties": {"length": hidden}}])
        assert said.message.startswith("cannot be judged: length is ")
        assert PLANTED not in said.message


def test_an_exemption_names_the_type_and_the_name(tmp_path: Path) -> None:
    directory = without_coverage(tmp_path)
    entry = {
        "rule": "program-strong-secret",
        "resource": "random:index/randomPassword:RandomPassword password",
        "stacks": ["prod"],
        "reason": "of a device that takes no more",
        "owner": "app",
        "approver": "security",
        "expires": date(2027, 4, 30),
    }
    (directory / "exemptions.yaml").write_text(yaml.safe_dump([entry]))
    served = Pack(directory=directory, today=lambda: date(2027, 4, 30))
    assert [said.rule for said in served.register(PASSWORD)] == ["program-ignores-no-changes"]
    (shown,) = served.analyze_stack([], [PASSWORD])
    assert (shown.rule, shown.level) == ("exempted", "advisory")
    assert (
        "program-strong-secret (high): random:index/randomPassword:RandomPassword password: properties.length"
        in shown.message
    )
    (stale,) = served.analyze_stack([], [{**PASSWORD, "properties": {"length": 32}}])
    assert stale.rule == "exemptions"
    # Without the engine nobody knows what is registered: the exemption is not stale for that.
    assert report("prod", compliant(), directory, date(2027, 4, 30))[1] == 0


def test_every_type_that_our_stacks_register_is_known_with_what_becomes_of_it() -> None:
    used = {each["token"] for stack in STACKS for each in committed(stack).registered}
    assert [token for token in used if not known(token)] == []
    assert all(TYPES.values())


def test_a_fact_of_the_registration_is_judged_and_not_of_the_object() -> None:
    (rule,) = (rule for rule in PROGRAM_RULES if rule.name == "program-protects-data")
    properties: Manifest = {"kind": "StatefulSet", "protect": True, "spec": {"volumeClaimTemplates": [{}]}}
    found = judge_registered(
        rule, Registered(token="kubernetes:apps/v1:StatefulSet", name="store", properties=properties)
    )
    assert [finding.resource for finding in found] == ["kubernetes:apps/v1:StatefulSet store"]
