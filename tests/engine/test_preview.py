"""What can be had without a cluster: previews, renders, and the refusal of what is wrong."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from local.engine import stackfile
from local.policy import judge
from local.problem import Problem
from tests.engine.conftest import ROOT, MakeEngine, configure

_STACKS = stackfile.stacks(ROOT)


def _content(directory: Path) -> dict[str, bytes]:
    return {str(file.relative_to(directory)): file.read_bytes() for file in directory.rglob("*") if file.is_file()}


def _stack_files() -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in ROOT.glob("Pulumi.*yaml")}


@pytest.fixture
def platform(tmp_path: Path) -> Path:
    """Put the program of this repository under stack files of the test's own."""
    root = tmp_path / "platform"
    root.mkdir()
    for name in ("__main__.py", "components", "policies"):
        (root / name).symlink_to(ROOT / name)
    for file in ROOT.glob("Pulumi.*yaml"):
        shutil.copy(file, root)
    return root


@pytest.mark.parametrize("stack", _STACKS)
def test_a_stack_previews_under_its_policies_and_its_file_stays_as_it_was(
    make_engine: MakeEngine, capfd: pytest.CaptureFixture[str], stack: str
) -> None:
    before = _stack_files()
    make_engine(stack=stack).preview(policy_pack=ROOT / "policies")
    shown = capfd.readouterr().out
    assert re.search(r"\+ \d+ to create", shown)
    assert "warning" not in shown
    assert _stack_files() == before


def test_the_engine_keeps_no_log_of_its_runs_and_none_of_an_earlier_version(
    make_engine: MakeEngine, state: Path, tmp_path: Path
) -> None:
    logs = state / "home" / "logs"
    logs.unlink(missing_ok=True)
    logs.mkdir(parents=True)
    (logs / "organization+platform+dev.log").write_text("of a run")
    make_engine().render(tmp_path)
    assert logs.is_file()


@pytest.mark.parametrize("stack", _STACKS)
def test_a_render_is_the_same_twice_and_holds_no_secret(make_engine: MakeEngine, tmp_path: Path, stack: str) -> None:
    before = _stack_files()
    count = make_engine(stack=stack).render(tmp_path / "first")
    assert make_engine(stack=stack).render(tmp_path / "second") == count
    rendered = _content(tmp_path / "first")
    assert rendered == _content(tmp_path / "second")
    assert len(rendered) == count > 0
    for path, text in rendered.items():
        manifest = yaml.safe_load(text)
        metadata = manifest["metadata"]
        folder = metadata.get("namespace", "_cluster")
        assert path == f"{folder}/{manifest['kind'].lower()}-{metadata['name']}.yaml"
        if manifest["kind"] == "Secret":
            assert set(manifest["stringData"].values()) <= {"<secret>"}
            assert "data" not in manifest
    assert _stack_files() == before


def test_a_render_replaces_the_last_one_and_a_failed_one_leaves_it(
    make_engine: MakeEngine, toy: Path, tmp_path: Path
) -> None:
    engine, build = make_engine(toy), tmp_path / "build"
    build.mkdir()
    (build / "stale.yaml").touch()
    assert engine.render(build) == 3
    rendered = _content(build)
    assert sorted(re.sub(r"[0-9a-f]{8}", "#", path) for path in rendered) == [
        f"default/configmap-words-{stackfile.project(toy)}.yaml",
        f"default/secret-given-{stackfile.project(toy)}.yaml",
        "default/secret-passwords-#.yaml",
    ]
    (toy / "__main__.py").write_text("raise ValueError('refused')")
    with pytest.raises(Problem, match="refused"):
        engine.render(build)
    assert _content(build) == rendered


def test_a_name_that_was_made_up_is_the_same_wherever_it_is_used(
    make_engine: MakeEngine, toy: Path, tmp_path: Path
) -> None:
    make_engine(toy).render(tmp_path / "build")
    words = yaml.safe_load(
        (tmp_path / "build" / "default" / f"configmap-words-{stackfile.project(toy)}.yaml").read_text()
    )
    assert (tmp_path / "build" / "default" / f"secret-{words['data']['secret']}.yaml").exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("node_port:", "node_prt:", "frontend.node_prt: unknown setting; did you mean node_port?"),
        ("node_port: 30080", 'node_port: "30080"', "frontend.node_port: '30080': Input should be a valid integer"),
        ("scale: {min: 1, max: 2}, node", "scale: {min: 3, max: 2}, node", "frontend.scale: max (2) is below min (3)"),
    ],
)
def test_a_wrong_setting_is_refused_by_file_key_value_and_fix(  # noqa: PLR0917
    make_engine: MakeEngine, platform: Path, capfd: pytest.CaptureFixture[str], old: str, new: str, expected: str
) -> None:
    file = platform / "Pulumi.dev.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(Problem, match="failed"):
        make_engine(platform).preview()
    shown = capfd.readouterr().out
    assert f"Pulumi.dev.yaml: platform:settings: {expected}" in shown
    assert "Traceback" not in shown


def test_a_stack_without_a_file_is_refused_with_the_stacks_there_are(make_engine: MakeEngine) -> None:
    with pytest.raises(Problem) as refused:
        make_engine(stack="production").preview()
    assert str(refused.value).startswith("Pulumi.production.yaml: there is no such file in ")
    assert f"the stacks are {', '.join(_STACKS)}" in str(refused.value)


_PACK = """
from pulumi_policy import EnforcementLevel, PolicyPack, ResourceValidationPolicy

def judge(args, report):
    if args.resource_type == "kubernetes:core/v1:ConfigMap" and args.props["data"]["word"] == "forbidden":
        report("write another word")

PolicyPack("words", [ResourceValidationPolicy("no-such-word", "Words.", judge, EnforcementLevel.MANDATORY)])
"""


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    directory = tmp_path / "pack"
    directory.mkdir()
    (directory / "PulumiPolicy.yaml").write_text("runtime: python\nversion: 1.0.0\n")
    (directory / "__main__.py").write_text(_PACK)
    return directory


def test_a_violated_policy_refuses_and_a_kept_one_does_not(
    make_engine: MakeEngine, toy: Path, pack: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make_engine(toy).preview(policy_pack=pack)
    assert "words@v1.0.0" in capfd.readouterr().out
    configure(toy, word="forbidden")
    with pytest.raises(Problem, match="preview of stack dev failed"):
        make_engine(toy).preview(policy_pack=pack)
    assert "write another word" in capfd.readouterr().out


def test_a_pack_that_does_not_start_refuses(
    make_engine: MakeEngine, toy: Path, pack: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (pack / "__main__.py").write_text("import words_that_are_not_there")
    with pytest.raises(Problem, match="preview of stack dev failed"):
        make_engine(toy).preview(policy_pack=pack)
    shown = capfd.readouterr()
    assert "No module named 'words_that_are_not_there'" in shown.out + shown.err


def test_what_this_machine_knows_is_added_and_wins(make_engine: MakeEngine, toy: Path, tmp_path: Path) -> None:
    configure(toy, word="committed")
    project = stackfile.project(toy)
    make_engine(toy, config={f"{project}:word": "of this machine"}).render(tmp_path / "build")
    text = (tmp_path / "build" / "default" / f"configmap-words-{stackfile.project(toy)}.yaml").read_text()
    assert yaml.safe_load(text)["data"]["word"] == "of this machine"
    assert "of this machine" not in (toy / "Pulumi.dev.yaml").read_text()


def _with_a_bare_pod_and_a_short_password(platform: Path) -> None:
    program = (platform / "__main__.py").read_text()
    (platform / "__main__.py").unlink()
    metadata, spec = {"name": "bare", "namespace": "bare"}, {"containers": [{"name": "bare", "image": "bare"}]}
    pod = f'kubernetes.core.v1.Pod("bare", metadata={metadata}, spec={spec}, opts=there)'
    options = 'pulumi.ResourceOptions(ignore_changes=["length"])'
    password = f'__import__("pulumi_random").RandomPassword("short", length=8, opts={options})'
    (platform / "__main__.py").write_text(f"{program}\n{pod}\n{password}\n")


def test_the_engine_is_refused_what_the_stack_has_as_mandatory_and_warned_of_the_rest(
    make_engine: MakeEngine, platform: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _with_a_bare_pod_and_a_short_password(platform)
    with pytest.raises(Problem, match="preview of stack dev failed"):
        make_engine(platform).preview(policy_pack=ROOT / "policies")
    shown = capfd.readouterr().out
    assert re.search(r"\[mandatory\][^\n]*pod-non-root", shown)
    assert re.search(r"\[advisory\][^\n]*pod-bounded-memory", shown)
    assert re.search(r"\[mandatory\][^\n]*network-default-deny", shown)
    assert "Pod bare/bare: metadata.namespace has no NetworkPolicy that refuses all Egress" in shown
    # What is no object, and what is said only to the engine.
    assert re.search(r"\[mandatory\][^\n]*program-strong-secret[^\n]*short", shown)
    assert re.search(r"\[mandatory\][^\n]*program-ignores-no-changes[^\n]*short", shown)


def test_the_rendered_program_is_judged_without_a_cluster(
    make_engine: MakeEngine, platform: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert judge(lambda: make_engine(platform, stack="prod")) == 0
    shown = capfd.readouterr().out
    assert re.search(r"^prod: \d+ objects, \d+ rules, ", shown, re.MULTILINE)
    assert "mandatory: " not in shown
    _with_a_bare_pod_and_a_short_password(platform)
    assert judge(lambda: make_engine(platform, stack="prod")) == 1
    shown = capfd.readouterr().out
    assert "mandatory: pod-non-root (high): Pod bare/bare: spec.containers[0] may run as root" in shown
    assert "mandatory: network-default-deny (critical): Pod bare/bare: " in shown
    (platform / "__main__.py").write_text("raise ValueError('refused')")
    assert judge(lambda: make_engine(platform, stack="prod")) == 2
    assert "refused" in capfd.readouterr().err
