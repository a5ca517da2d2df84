"""The pack through the engine: a program or a state that breaks one box of the security diagram is refused by name."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from local.engine.home import home
from local.problem import Problem
from policies.boxes import BOXES
from policies.levels import SEVERITIES
from policies.rules import RULES
from tests.conftest import Tools
from tests.engine.conftest import ROOT, MakeEngine
from tests.policies.fixtures import Case, Manifest, cases
from tests.policies.servicer import token
from tests.render import committed

_PROGRAM = """
import json
import pulumi
import pulumi_kubernetes as kubernetes

there = pulumi.ResourceOptions(provider=kubernetes.Provider("cluster"))
for number, (token, manifest) in enumerate(json.load(open("objects.json"))):
    pulumi.CustomResource(token, f"it-{number}", manifest, there)
"""
_STACK = "urn:pulumi:prod::broken::pulumi:pulumi:Stack::broken-prod"


def _of_box(box: str) -> Case:
    """Return a failing case of the gravest rule of a box."""
    rules = sorted((rule for rule in RULES if rule.box == box), key=lambda rule: -SEVERITIES.index(rule.severity))
    failing = (case for rule in rules for case in cases(rule.name) if case.sort == "fail")
    return next(case for case in failing if all("apiVersion" in manifest for manifest in case.manifests))


def refused(rule: str, shown: str) -> bool:
    """Tell whether the engine says that a rule is broken and that nothing may go on."""
    return re.search(rf"\[mandatory\][^\n]* {rule} ", shown) is not None


@pytest.mark.parametrize("box", BOXES)
def test_a_program_that_breaks_a_box_is_refused_by_name(
    make_engine: MakeEngine, tmp_path: Path, capfd: pytest.CaptureFixture[str], box: str
) -> None:
    case = _of_box(box)
    (tmp_path / "Pulumi.yaml").write_text("name: broken\nruntime: python\n")
    (tmp_path / "Pulumi.prod.yaml").write_text("config: {}\n")
    (tmp_path / "__main__.py").write_text(_PROGRAM)
    (tmp_path / "objects.json").write_text(json.dumps([(token(manifest), manifest) for manifest in case.manifests]))
    with pytest.raises(Problem, match="preview of stack prod failed"):
        make_engine(tmp_path, "prod").preview(policy_pack=ROOT / "policies")
    shown = capfd.readouterr().out
    assert refused(case.rule, shown), shown


def _made(manifest: Manifest, number: int) -> Manifest:
    return {"token": token(manifest), "name": f"it-{number}", "properties": manifest, "options": {}}


def _state(registered: list[Manifest]) -> str:
    """Return resources, as a program registers them, as `pulumi stack export` writes them."""
    resources: list[Manifest] = [{"urn": _STACK, "custom": False, "type": "pulumi:pulumi:Stack"}]
    for number, made in enumerate(registered):
        urn = f"urn:pulumi:prod::broken::{made['token']}::{made['name']}"
        known = {"urn": urn, "custom": True, "id": f"{number}", "type": made["token"], "parent": _STACK}
        options = {
            key: value for key, value in made["options"].items() if key in ("protect", "additionalSecretOutputs")
        }
        resources.append({**known, **options, "inputs": made["properties"], "outputs": made["properties"]})
    return json.dumps({"version": 3, "deployment": {"manifest": {}, "resources": resources}})


def _analyze(tools: Tools, file: Path, registered: list[Manifest]) -> subprocess.CompletedProcess[str]:
    file.write_text(_state(registered))
    at_home = home(tools.binaries, tools.venv)
    command = [at_home.pulumi, "policy", "analyze", "--policy-pack", ROOT / "policies", "--file", file]
    return subprocess.run(command, env=at_home.environment, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("state")
def test_the_state_of_prod_is_passed(tools: Tools, tmp_path: Path) -> None:
    rendered = committed("prod")
    objects = {
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")): each for each in rendered.manifests
    }
    registered = list[Manifest]()
    for made in rendered.registered:
        if made["token"].startswith("kubernetes:"):
            metadata = made["properties"]["metadata"]
            name = metadata.get("name", f"{made['name']}-auto")
            registered.append(
                {**made, "properties": objects[made["properties"]["kind"], name, metadata.get("namespace")]}
            )
    assert len(registered) == len(rendered.manifests)
    analyzed = _analyze(tools, tmp_path / "state.json", registered)
    assert analyzed.returncode == 0, analyzed.stdout + analyzed.stderr
    assert "[mandatory]" not in analyzed.stdout


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("box", BOXES)
def test_a_state_that_breaks_a_box_is_refused_by_name(tools: Tools, tmp_path: Path, box: str) -> None:
    case = _of_box(box)
    analyzed = _analyze(tools, tmp_path / "state.json", [_made(each, n) for n, each in enumerate(case.manifests)])
    assert analyzed.returncode != 0
    assert refused(case.rule, analyzed.stdout), analyzed.stdout + analyzed.stderr
