"""What is done to a cluster, and what is put right after an interruption."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.engine import Cluster, Engine, stackfile
from local.engine.changes import Change
from local.problem import Problem
from tests.conftest import parent
from tests.engine.conftest import MakeEngine, configure
from tests.processes import eventually, free_port

_SECONDS = 60.0


def _ended(process: int) -> bool:
    """Tell whether a process is over; its new parent may not have fetched its exit code yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True


def _words(engine: Engine) -> str:
    return f"words-{stackfile.project(engine.root)}"


def _names(changes: list[Change]) -> list[str]:
    return [f"{change.operation} {change.urn.rpartition('::')[2]}" for change in changes]


def test_up_twice_changes_nothing_and_destroy_leaves_nothing(engine: Engine, kubectl: Callable[..., str]) -> None:
    assert engine.outputs() == {}
    engine.up()
    outputs = engine.outputs()
    assert outputs["password"] == "[secret]"
    assert kubectl("get", "secret", outputs["secret"], "--output=name") == f"secret/{outputs['secret']}\n"
    assert engine.changes() == []
    assert engine.drift() == []
    engine.up()
    assert engine.outputs() == outputs
    engine.destroy()
    left = kubectl("get", "secrets,configmaps", "--output=name").split()
    assert left in ([], ["configmap/kube-root-ca.crt"])


def test_a_stack_whose_cluster_is_gone_is_forgotten_and_its_file_is_not(
    engine: Engine, kubectl: Callable[..., str]
) -> None:
    engine.up()
    file = engine.root / f"Pulumi.{engine.stack}.yaml"
    before = file.read_bytes()
    engine.forget()
    engine.forget()
    kubectl("delete", "secrets,configmaps,deployments", "--all")
    assert engine.outputs() == {}
    assert file.read_bytes() == before


def test_what_is_kept_keeps_the_whole_stack(engine: Engine, kubectl: Callable[..., str]) -> None:
    configure(engine.root, keep="true")
    engine.up()
    before = kubectl("get", "secrets,configmaps", "--output=name")
    with pytest.raises(Problem, match="stack dev keeps kept: nothing was removed"):
        engine.destroy()
    assert kubectl("get", "secrets,configmaps", "--output=name") == before
    configure(engine.root, keep="false")
    engine.up()
    engine.destroy()
    assert f"configmap/{_words(engine)}" not in kubectl("get", "configmaps", "--output=name")


def test_a_manual_change_is_found_and_undone(engine: Engine, kubectl: Callable[..., str]) -> None:
    engine.up()
    kubectl("patch", "configmap", _words(engine), "--patch", '{"data":{"word":"meddled"}}')
    [change] = engine.drift()
    assert (change.operation, change.urn.rpartition("::")[2]) == ("update", "words")
    assert change.properties == ("data.word",)
    engine.up(refresh=True)
    assert engine.drift() == []
    assert json.loads(kubectl("get", "configmap", _words(engine), "--output=json"))["data"]["word"] == "hello"
    kubectl("delete", "configmap", _words(engine))
    assert _names(engine.drift()) == ["delete words"]


def test_the_committed_stack_file_is_never_written(engine: Engine) -> None:
    file = engine.root / "Pulumi.dev.yaml"
    before = file.read_bytes()
    engine.up()
    engine.destroy()
    assert file.read_bytes() == before


def test_an_unreachable_cluster_is_refused_before_anything_changes(
    make_engine: MakeEngine, toy: Path, tmp_path: Path, state: Path
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    server = f"https://127.0.0.1:{free_port()}"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "away", "cluster": {"server": server}}],
                "contexts": [{"name": "away", "context": {"cluster": "away", "user": ""}}],
            }
        )
    )
    for context in ("away", "absent"):
        engine = make_engine(toy, cluster=Cluster(kubeconfig, context))
        began = time.monotonic()
        for verb in (engine.up, engine.preview, engine.drift, engine.destroy):
            with pytest.raises(Problem) as refused:
                verb()
            assert f"the cluster (context {context} of {kubeconfig}) does not answer" in str(refused.value)
            assert "the contexts there are: away" in str(refused.value)
        assert time.monotonic() - began < _SECONDS
    assert not list((state / "pulumi").rglob(f"*{stackfile.project(toy)}*"))


def test_without_a_cluster_nothing_is_changed(make_engine: MakeEngine, toy: Path) -> None:
    engine = make_engine(toy)
    for verb in (engine.up, engine.drift, engine.destroy):
        with pytest.raises(Problem, match="no cluster to work on; name one with CONTEXT="):
            verb()


_UP = """
import signal, sys
from pathlib import Path
from local.engine import Cluster, Engine
from local.problem import Problem
binaries, venv, root, kubeconfig, context = sys.argv[1:]
# As a person's shell starts it; a suite that runs in the background has inherited that interrupts are ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    Engine(Path(binaries), Path(venv), Path(root), "dev", Cluster(Path(kubeconfig), context)).up()
except Problem as problem:
    sys.exit(str(problem))
"""


class _Up:
    """An `up` in a process of its own that waits for a Deployment which will never be ready."""

    def __init__(self, engine: Engine, log: Path) -> None:
        assert engine.cluster is not None
        arguments = (engine.binaries, engine.venv, engine.root, engine.cluster.kubeconfig, engine.cluster.context)
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _UP, *map(str, arguments)], stdout=output, stderr=output, start_new_session=True
            )

    def await_deployment(self, kubectl: Callable[..., str]) -> str:
        return self.await_any("deployments", kubectl)

    def await_any(self, kind: str, kubectl: Callable[..., str]) -> str:
        return str(eventually(lambda: kubectl("get", kind, "--output=name").strip(), f"{kind} are there", _SECONDS))

    def engines(self) -> list[int]:
        """Return the process ids of the engine that this process runs."""
        return [
            int(entry.name) for entry in Path("/proc").glob("[0-9]*") if parent(int(entry.name)) == self.process.pid
        ]


@pytest.mark.parametrize("name", ["", "slow"], ids=["made-up name", "given name"])
def test_a_killed_up_is_put_right_by_the_next(
    engine: Engine, kubectl: Callable[..., str], tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    given = {"slow_name": name} if name else {}
    configure(engine.root, slow="true", **given)
    killed = _Up(engine, tmp_path / "up.log")
    deployment = killed.await_deployment(kubectl).partition("/")[2]
    [pulumi] = killed.engines()
    os.kill(pulumi, signal.SIGKILL)
    killed.process.wait(_SECONDS)
    configure(engine.root, slow="true", skip_await="true", **given)
    engine.up()
    said = capfd.readouterr().err
    assert f"process {pulumi}) died without unlocking the stack" in said
    assert "the last run was interrupted while it worked on " in said
    # One with a name of its own is removed and made again, under another name; one with a given name is taken over.
    assert (f"removed Deployment {deployment}" in said) == (not name)
    there = kubectl("get", "deployments", "--output=name").split()
    assert len(there) == 1
    assert (there == [f"deployment.apps/{deployment}"]) == bool(name)
    assert engine.changes() == []
    configure(engine.root)
    engine.up()
    assert kubectl("get", "deployments", "--output=name") == ""


def test_a_half_made_stateful_set_is_taken_over(engine: Engine, kubectl: Callable[..., str], tmp_path: Path) -> None:
    """The API server fills its claims in, so another field manager would be in conflict; the platform's objects have one for all runs."""
    configure(engine.root, claims="true")
    killed = _Up(engine, tmp_path / "up.log")
    made = killed.await_any("statefulsets", kubectl)
    [pulumi] = killed.engines()
    os.kill(pulumi, signal.SIGKILL)
    killed.process.wait(_SECONDS)
    configure(engine.root, claims="true", skip_await="true")
    engine.up()
    assert kubectl("get", "statefulsets", "--output=name").strip() == made
    assert engine.changes() == []
    configure(engine.root)
    engine.up()
    assert kubectl("get", "statefulsets", "--output=name") == ""


def test_an_interrupted_up_tidies_up_and_leaves_no_process(
    engine: Engine, kubectl: Callable[..., str], tmp_path: Path
) -> None:
    configure(engine.root, slow="true")
    interrupted = _Up(engine, tmp_path / "up.log")
    interrupted.await_deployment(kubectl)
    os.killpg(interrupted.process.pid, signal.SIGINT)
    assert interrupted.process.wait(_SECONDS) == 1
    log = interrupted.log.read_text()
    assert "waiting for the engine to finish what it has begun" in log
    assert "Traceback" not in log
    configure(engine.root)
    engine.up()
    assert kubectl("get", "deployments", "--output=name") == ""


def test_an_up_whose_caller_is_killed_ends_and_the_next_waits_for_it(
    engine: Engine, kubectl: Callable[..., str], tmp_path: Path
) -> None:
    configure(engine.root, slow="true")
    orphaned = _Up(engine, tmp_path / "up.log")
    orphaned.await_deployment(kubectl)
    [pulumi] = orphaned.engines()
    orphaned.process.kill()
    orphaned.process.wait()
    configure(engine.root)
    engine.up()
    assert _ended(pulumi)
    assert kubectl("get", "deployments", "--output=name") == ""


def test_a_stack_that_someone_else_changes_is_left_alone(engine: Engine, state: Path) -> None:
    engine.up()
    locks = state / "pulumi" / ".pulumi" / "locks" / "organization" / stackfile.project(engine.root) / "dev"
    locks.mkdir(parents=True, exist_ok=True)
    lock = locks / "other.json"
    lock.write_text(
        json.dumps({"pid": 1, "username": "mary", "hostname": "elsewhere", "timestamp": "2026-01-02T03:04:05"})
    )
    with pytest.raises(Problem, match="stack dev is locked by mary@elsewhere since 2026-01-02T03:04:05"):
        engine.up()
    lock.unlink()
