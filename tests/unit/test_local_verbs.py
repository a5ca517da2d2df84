"""What a person gets for a wrong command: the thing, its value and the fix, and nothing created or changed."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local import toolchain, verbs
from local.engine import Cluster, stackfile
from local.node.layout import PORTS, RUN, STATE
from local.problem import Problem
from tests.processes import free_port, program
from tests.render import ROOT

NOBODY = 65534
STACKS = ", ".join(stackfile.stacks(ROOT))


def alone() -> list[str]:
    """Return what starts a command on a machine of its own, as far as it can see: no node, no network, all ports free."""
    mount, shell = program("mount", "mount"), program("sh", "dash")
    hide = (
        f'for place in {STATE} {RUN}; do [ ! -d "$place" ] || {mount} -t tmpfs none "$place" || exit; done; exec "$@"'
    )
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return [program("unshare", "util-linux"), "--mount", "--net", *root, shell, "-c", hide, shell]


@dataclass(frozen=True)
class Person:
    """Someone who has just cloned the repository: an empty home, no cache, no state."""

    home: Path

    def run(
        self, *arguments: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb; without `env`, no program can be found, so that it cannot go on to build anything."""
        return self.python("-m", "local", *arguments, before=before, env=env)

    def python(
        self, *arguments: str, before: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run Python in the clone."""
        places = {
            "HOME": self.home,
            "PLATFORM_CACHE": self.home / "cache",
            "XDG_STATE_HOME": self.home / "state",
            "KUBECONFIG": self.home / "kubeconfig",
        }
        return subprocess.run(
            [*before, sys.executable, *arguments],
            cwd=ROOT,
            env={"PATH": "/nowhere", **{name: str(place) for name, place in places.items()}, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def has(self) -> list[str]:
        """Return every file and folder in the home."""
        return sorted(str(path.relative_to(self.home)) for path in self.home.rglob("*"))


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Return someone with a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return Person(home)


def outcome(done: subprocess.CompletedProcess[str]) -> tuple[int, str, str]:
    """Return the exit code, and what was printed to standard output and to standard error."""
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", [[], ["no-such-command"]])
def test_a_command_that_does_not_exist_is_named(command: list[str]) -> None:
    with pytest.raises(Problem, match=f"run: {command[0] if command else 'nothing'}: no such command"):
        verbs.run(command)


@pytest.mark.parametrize("verb", sorted(verbs.STACK_VERBS))
def test_an_unknown_stack_is_answered_with_the_stacks_there_are(person: Person, verb: str) -> None:
    code, printed, error = outcome(person.run(verb, "--stack", "production"))
    assert (code, printed) == (2 if verb == "policy" else 1, "")  # 1 would be a breach
    assert error.startswith("error: Pulumi.production.yaml: there is no such file")
    assert STACKS in error
    assert person.has() == []


def kubeconfig(person: Person, port: int) -> bytes:
    """Write a kubeconfig with one context, `elsewhere`, whose cluster should answer on `port`."""
    content: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "elsewhere", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
        "contexts": [{"name": "elsewhere", "context": {"cluster": "elsewhere", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "none"}}],
        "current-context": "elsewhere",
    }
    file = person.home / "kubeconfig"
    file.write_text(json.dumps(content))
    return file.read_bytes()


@pytest.mark.parametrize(
    ("context", "reason"), [("nowhere", 'context "nowhere" does not exist'), ("elsewhere", "was refused")]
)
def test_a_cluster_that_does_not_answer_is_named_and_nothing_is_touched(
    person: Person, binaries: Path, tmp_path: Path, context: str, reason: str
) -> None:
    port = free_port()
    before = kubeconfig(person, port)
    path = tmp_path / "bin"
    path.mkdir()
    (path / "kubectl").symlink_to(binaries / "kubectl")
    code, printed, error = outcome(person.run("up", "--context", context, env={"PATH": str(path)}))
    assert (code, printed) == (1, "")
    first, second = error.splitlines()
    assert first.startswith(f"error: the cluster (context {context} of {person.home}/kubeconfig) does not answer: ")
    assert reason in first
    assert second.startswith("Nothing was changed. Start the cluster, or name another one with CONTEXT=")
    assert second.endswith("the contexts there are: elsewhere")
    assert person.has() == ["kubeconfig"]
    assert (person.home / "kubeconfig").read_bytes() == before


def test_a_cluster_without_a_kubectl_to_ask_it_with_is_said(person: Person) -> None:
    code, printed, error = outcome(person.run("up", "--context", "elsewhere"))
    assert (code, printed) == (1, "")
    assert error.startswith("error: kubectl: ")
    assert "PATH" in error
    assert person.has() == []


@pytest.fixture
def clone() -> Generator[Path]:
    """Return a copy of what `make up` is made of that every user can read."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        place.chmod(0o755)
        shutil.copytree(ROOT / "local", place / "local", ignore=shutil.ignore_patterns("__pycache__"))
        for file in ROOT.glob("Pulumi*.yaml"):
            shutil.copy(file, place)
        yield place


# The modules are imported first: the Python of a developer may be in a home that nobody can read.
_AS_NOBODY = f"""
import os, sys
sys.path.insert(0, sys.argv[1])
from local.__main__ import main
os.chdir(sys.argv[1])
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid({NOBODY})
    os.setuid({NOBODY})
sys.argv[1:] = ["up"]
sys.exit(main())
"""


def test_without_root_up_says_to_use_sudo_or_another_cluster(clone: Path) -> None:
    person = Person(clone / "home")
    person.home.mkdir()
    if os.geteuid() == 0:
        os.chown(person.home, NOBODY, NOBODY)
    code, printed, error = outcome(person.python("-c", _AS_NOBODY, str(clone)))
    assert (code, printed) == (1, "")
    assert error.startswith("error: the one-node Kubernetes needs root: ")
    assert "`sudo make up`" in error
    assert "CONTEXT=" in error
    assert len(error.splitlines()) == 1
    assert person.has() == []


_HOLDS_A_PORT = """
import socket, subprocess, sys
from pathlib import Path
with socket.create_server(("", int(sys.argv[1]))):
    done = subprocess.run([sys.executable, "-m", "local", "up"])
print([str(file) for place in sys.argv[2:] for file in Path(place).glob("*")])
sys.exit(done.returncode)
"""


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd", "csi-snapshotter"])
def test_a_port_in_use_is_named_before_anything_is_built(person: Person, tmp_path: Path, name: str) -> None:
    port, server = PORTS[name][0], tmp_path / "server.py"
    server.write_text(_HOLDS_A_PORT)
    done = person.python(str(server), str(port), str(STATE), str(RUN), before=alone())
    code, printed, error = outcome(done)
    assert (code, printed) == (1, "[]\n"), error
    assert error.startswith(f"error: port {port}, which {name} needs, is in use by process ")
    assert str(server) in error
    assert error.rstrip().endswith(": stop it, or use another cluster: make up CONTEXT=NAME")
    assert len(error.splitlines()) == 1
    assert person.has() == []


def test_the_address_before_the_first_up_is_answered_with_what_to_run(person: Person) -> None:
    code, printed, error = outcome(person.run("url", "--stack", "dev", before=alone()))
    assert (code, printed) == (1, "")
    assert error == "error: stack dev is not up; `make up STACK=dev` brings it up\n"
    assert person.has() == []


def test_a_verb_that_there_is_not_is_answered_with_those_there_are(person: Person) -> None:
    code, printed, error = outcome(person.run("upp"))
    assert (code, printed) == (2, "")
    for known in verbs.STACK_VERBS:
        assert f"'{known}'" in error


def test_the_verbs_are_listed_with_what_they_do(person: Person) -> None:
    code, printed, error = outcome(person.run("--help"))
    assert (code, error) == (0, "")
    for verb, action in verbs.STACK_VERBS.items():
        assert verb in printed
        assert (action.__doc__ or "").split()[0] in printed


def test_a_context_learns_of_the_custom_resources_before_the_stack_needs_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done: list[str] = []

    class Made:
        def up(self, **_options: object) -> None:
            done.append("stack")

        def outputs(self) -> dict[str, str]:
            return {"url": "https://platform.test"}

    def check(_cluster: Cluster) -> None:
        done.append("check")

    def define(_cluster: Cluster, definitions: Path) -> None:
        done.append(f"definitions in {definitions}")

    def engine(_target: verbs.Target, **_options: object) -> Made:
        return Made()

    (tmp_path / "kubectl").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(Cluster, "check", check)
    monkeypatch.setattr(Cluster, "define", define)
    monkeypatch.setattr(toolchain, "definitions", lambda: tmp_path)
    monkeypatch.setattr(verbs, "engine", engine)
    verbs.up(verbs.Target(stack="dev", context="theirs"))
    assert done == ["check", f"definitions in {tmp_path / 'crds'}", "stack"]
