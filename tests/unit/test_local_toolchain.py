"""The Go tools are built once for each state of their sources; packages and the Python environment are asked for once."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from local import cache, packages, toolchain
from local.problem import Problem
from tests.processes import program
from tests.render import ROOT

pytestmark = pytest.mark.usefixtures("root")

_GO = """#!/bin/sh
echo "$*" >> '{calls}'
exec '{go}' "$@"
"""


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[toolchain.Module]:
    """Return two modules of one small program each, in a source tree of the test's own."""
    sources = tmp_path / "sources"
    monkeypatch.setattr(toolchain, "SOURCES", sources)
    for name in ("first", "second"):
        (sources / name).mkdir(parents=True)
        (sources / name / "go.mod").write_text(f"module {name}\n\ngo 1.21\n")
        (sources / name / "main.go").write_text('package main\n\nvar said = ""\n\nfunc main() { println(said) }\n')
    return [
        toolchain.Module("first", packages=(".",), variables=("main.said=flagged",)),
        toolchain.Module("second", packages=(".",), finish=lambda directory: (directory / "data").touch()),
    ]


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Put a `go` on PATH that is the real one and notes each call; return what it has noted since it was last asked."""
    noted = tmp_path / "calls"
    wrapper = tmp_path / "bin" / "go"
    wrapper.parent.mkdir()
    wrapper.write_text(_GO.format(calls=noted, go=program("go", "golang")))
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")

    def read() -> list[str]:
        text = noted.read_text() if noted.exists() else ""
        noted.unlink(missing_ok=True)
        return text.splitlines()

    return read


def test_what_is_built_stands_together_and_is_not_built_again(
    modules: list[toolchain.Module], calls: Callable[[], list[str]]
) -> None:
    said: list[str] = []
    together = toolchain.build(said.append, modules)
    assert said == ["module 1 of 2: first", "module 2 of 2: second"]
    assert sorted(file.name for file in together.iterdir() if not file.name.startswith(".")) == [
        "data",
        "first",
        "second",
    ]
    ran = subprocess.run([together / "first"], capture_output=True, text=True, check=True)
    assert ran.stderr == "flagged\n"
    assert len([call for call in calls() if " build " in call]) == 2

    began = time.monotonic()
    assert toolchain.build(said.append, modules) == together
    assert time.monotonic() - began < 5
    assert len(said) == 2
    assert set(calls()) == {"env GOVERSION"}


def test_only_the_module_whose_source_changed_is_built_again(
    modules: list[toolchain.Module], calls: Callable[[], list[str]]
) -> None:
    before = toolchain.build(lambda _: None, modules)
    calls()
    (toolchain.SOURCES / "second" / "more.go").write_text("package main\n")
    said: list[str] = []
    after = toolchain.build(said.append, modules)
    assert after != before
    assert said == ["module 2 of 2: second"]
    assert [call.split()[1] for call in calls() if " build " in call] == [str(toolchain.SOURCES / "second")]
    assert (before / "second").exists(), "a node that runs from there goes on"


def test_a_module_may_be_elsewhere(modules: list[toolchain.Module]) -> None:
    elsewhere = toolchain.Module("other", packages=(".",), source=modules[0].directory)
    assert (toolchain.build(lambda _: None, [elsewhere]) / "first").exists()


def test_a_damaged_tool_is_built_again(modules: list[toolchain.Module], calls: Callable[[], list[str]]) -> None:
    together = toolchain.build(lambda _: None, modules)
    os.truncate(together / "first", 100)
    calls()
    assert toolchain.build(lambda _: None, modules) == together
    assert [call.split()[1] for call in calls() if " build " in call] == [str(toolchain.SOURCES / "first")]
    assert subprocess.run([together / "first"], check=False).returncode == 0


@pytest.mark.parametrize("changed", ["source", "flags", "packages"])
def test_a_key_changes_with_all_that_makes_the_tools(modules: list[toolchain.Module], changed: str) -> None:
    module = modules[0]
    before = toolchain._key(module, "go1")
    assert toolchain._key(module, "go1") == before
    assert toolchain._key(module, "go2") != before
    match changed:
        case "source":
            with (toolchain.SOURCES / "first" / "main.go").open("a") as file:
                file.write("// more\n")
        case "flags":
            module = toolchain.Module("first", packages=module.packages, variables=("main.said=other",))
        case _:
            module = toolchain.Module("first", packages=("./other",), variables=module.variables)
    assert toolchain._key(module, "go1") != before


def test_a_module_that_does_not_compile_is_a_problem_with_what_the_compiler_says(
    modules: list[toolchain.Module], root: Path
) -> None:
    (toolchain.SOURCES / "first" / "main.go").write_text("package main\n\nfunc main() { undefined() }\n")
    with pytest.raises(Problem) as raised:
        toolchain.build(lambda _: None, modules)
    assert f"the end of {root}/logs/first.log" in str(raised.value)
    assert "main.go:3:15: undefined: undefined" in str(raised.value)
    assert [file.name for file in (root / "tools").iterdir() if not file.name.endswith(".lock")] == []


def test_a_missing_go_is_named_with_the_version_that_the_modules_need(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [(toolchain.SOURCES / module.name / "go.mod").read_text() for module in toolchain.MODULES]
    needed = [re.findall(r"^go (\d+)\.(\d+)", text, re.MULTILINE)[0] for text in files]
    newest = max((int(major), int(minor)) for major, minor in needed)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Problem, match=rf"^go: not on PATH; install Go {newest[0]}\.{newest[1]} or later$"):
        toolchain.build(lambda _: None)
    assert not root.exists()


def test_the_definitions_of_custom_resources_are_taken_without_compiling_anything(
    calls: Callable[[], list[str]],
) -> None:
    found = toolchain.definitions() / "crds"
    kinds = ("certificaterequests", "certificates", "clusterissuers", "issuers")
    assert {file.name for file in found.iterdir()} == {
        "acme.cert-manager.io_challenges.yaml",
        *(f"cert-manager.io_{kind}.yaml" for kind in kinds),
    }
    assert [call for call in calls() if " build " in call] == []
    assert toolchain.definitions() / "crds" == found
    assert calls() == []


def test_without_go_the_definitions_are_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Problem, match=r"^go: not on PATH"):
        toolchain.definitions()


def test_missing_packages_are_those_not_installed_in_the_order_asked() -> None:
    assert packages.missing_debian_packages(["dpkg", "no-such-b", "coreutils", "no-such-a"]) == [
        "no-such-b",
        "no-such-a",
    ]
    assert packages.missing_debian_packages(["dpkg"]) == []


def test_without_root_the_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Problem, match=r"packages are missing: no-such-a; run the command as root, or install them"):
        packages.install_debian_packages(["dpkg", "no-such-a"], print)


def test_installed_packages_need_neither_root_nor_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    packages.install_debian_packages(["dpkg", "coreutils"], said.append)
    assert said == []


def test_what_is_missing_is_named_where_there_is_no_debian(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Problem, match=r"^apt-get: not on PATH; these packages are needed: etcd-server runc$"):
        packages.install_debian_packages(["etcd-server", "runc"], print)


def test_the_python_environment_is_built_once_and_is_the_same_seen_from_inside(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("# nothing\n")
    monkeypatch.setattr(packages, "_LOCK", lock)
    # What a killed build leaves is not taken for an environment.
    interrupted = root / "python" / cache.key(sys.version, str(Path(sys.executable).resolve()), lock)
    interrupted.mkdir(parents=True)
    (interrupted / "half").touch()
    place = packages.virtual_environment()
    assert place == interrupted
    assert not (place / "half").exists()
    (place / "kept").touch()
    assert packages.virtual_environment() == place
    assert (place / "kept").exists()
    inside = (
        "from pathlib import Path\nfrom local import packages\n"
        f"packages._LOCK = Path({str(lock)!r})\nprint(packages.virtual_environment())\n"
    )
    shown = subprocess.run(
        [place / "bin" / "python", "-c", inside],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_CACHE": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == f"{place}\n"
    assert (place / "kept").exists()


def test_a_lock_that_lacks_what_this_python_needs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = tmp_path / "needy-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        about = "Metadata-Version: 2.1\nName: needy\nVersion: 1\nRequires-Dist: absent\n"
        packed.writestr("needy-1.dist-info/METADATA", about)
        packed.writestr("needy-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr("needy-1.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"needy @ {wheel.as_uri()} --hash=sha256:{digest}\n")
    monkeypatch.setattr(packages, "_LOCK", lock)
    with pytest.raises(Problem, match="needy 1 requires absent, which is not installed"):
        packages.virtual_environment()


def test_a_python_environment_whose_python_is_gone_is_built_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("")
    monkeypatch.setattr(packages, "_LOCK", lock)

    def make(command: list[str | Path], **_options: object) -> None:
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "bin").mkdir(parents=True)
            shutil.copy(sys.executable, Path(command[3]) / "bin" / "python")

    monkeypatch.setattr(packages, "run", make)
    place = packages.virtual_environment()
    (place / "bin" / "python").unlink()
    assert packages.virtual_environment() == place
    assert (place / "bin" / "python").exists()
