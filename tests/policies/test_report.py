"""The report without an engine: one line for each broken rule, and an exit code that tells a breach from a failure."""

import sys
from pathlib import Path

import pytest
import yaml

from policies.report import main, report
from policies.rules import RULES
from tests.policies.fixtures import compliant, replaced
from tests.policies.servicer import Manifest, without_coverage
from tests.render import committed

CONTAINER = (0, "spec", "template", "spec", "containers", 0)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return without_coverage(tmp_path)


def test_a_broken_rule_is_one_line_with_its_first_objects_and_the_fix(directory: Path) -> None:
    bare = replaced(compliant(), (*CONTAINER, "resources", "limits", "memory"), 0)[0]
    many: list[Manifest] = [{**bare, "metadata": {**bare["metadata"], "name": f"api-{n}"}} for n in range(5)]
    lines, code = report("prod", [*many, *compliant()], directory)
    shown = "; ".join(
        f"Deployment app/api-{n}: spec.template.spec.containers[0] may use all of a node's memory; set resources.limits.memory"
        for n in range(3)
    )
    assert lines == [
        f"mandatory: pod-bounded-memory (medium): {shown}; and 2 more; see docs/policies/pod.md#pod-bounded-memory",
        f"prod: 8 objects, {len(RULES)} rules, 1 broken",
    ]
    assert code == 1


def test_what_is_advisory_is_shown_and_breaks_nothing(directory: Path) -> None:
    lines, code = report("dev", replaced(compliant(), (*CONTAINER, "resources"), {}), directory)
    assert lines[0].startswith("advisory: pod-bounded-memory (medium): Deployment app/api: ")
    assert code == 0


def test_what_a_render_hides_cannot_be_judged(directory: Path) -> None:
    for hidden in ("<secret>", "<known after up>"):
        lines, code = report(
            "prod", replaced(compliant(), (*CONTAINER, "securityContext", "readOnlyRootFilesystem"), hidden), directory
        )
        assert "mandatory: pod-read-only (high): Deployment app/api: cannot be judged: spec.template" in "\n".join(
            lines
        )
        assert code == 1


@pytest.mark.parametrize(
    ("texts", "code", "said"),
    [
        ([yaml.safe_dump(each) for each in committed("prod").manifests], 0, f"objects, {len(RULES)} rules, 0 broken, "),
        ([yaml.safe_dump(compliant()[0])], 1, "mandatory: network-default-deny (critical): Deployment app/api"),
        (["{"], 2, "error: "),
        (["[]"], 2, "no Kubernetes object"),
        ([], 2, "no rendered objects"),
    ],
)
def test_the_exit_code_tells_a_breach_from_a_failure(  # noqa: PLR0917
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    texts: list[str],
    code: int,
    said: str,
) -> None:
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.yaml").write_text(text)
    monkeypatch.setattr(sys, "argv", ["report", "prod", str(tmp_path)])
    assert main() == code
    shown = capfd.readouterr()
    assert said in shown.out + shown.err
