"""Which plugins a program needs, from its imports and what is installed."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from local.language_host import packages
from local.language_host.interpreter import Interpreter, for_project, own


@pytest.fixture
def program(tmp_path: Path) -> Path:
    directory = tmp_path / "program"
    (directory / "parts").mkdir(parents=True)
    return directory


def _install(site: Path, name: str, version: str, plugin: dict[str, Any] | None = None, requires: str = "") -> None:
    module = name.replace("-", "_")
    information = site / f"{module}-{version}.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {it}\n" for it in requires.split(",") if it)
    )
    if plugin is not None:
        (site / module).mkdir()
        (site / module / "pulumi-plugin.json").write_text(json.dumps(plugin))


def _plugins(site: Path, *names: str) -> list[tuple[str, str]]:
    found = packages.plugins(Interpreter(Path("python"), (site,)), set(names))
    return [(plugin.name, plugin.version) for plugin in found]


def test_imports_are_followed_through_the_programs_own_files(program: Path) -> None:
    (program / "__main__.py").write_text("import json\nfrom parts import one\nimport parts.two as two\n")
    (program / "parts" / "__init__.py").write_text("from .three import thing\n")
    (program / "parts" / "one.py").write_text("import pulumi_random\n")
    (program / "parts" / "two.py").write_text("from pulumi_kubernetes import core as k\nk.v1.Pod\n")
    (program / "parts" / "three.py").write_text("from . import four\n")
    (program / "parts" / "four.py").write_text("def late():\n    import pulumi_docker.image\n")
    (program / "unused.py").write_text("import pulumi_aws\n")
    assert packages.imported(program) == {
        "pulumi_random",
        "pulumi_kubernetes.core",
        "pulumi_kubernetes.core.v1",
        "pulumi_docker.image",
    }


def test_a_file_that_does_not_parse_imports_nothing(program: Path) -> None:
    (program / "__main__.py").write_text("import pulumi_random\ndef :\n")
    assert packages.imported(program) == set()


def test_only_what_is_imported_and_has_a_plugin_is_needed(tmp_path: Path) -> None:
    _install(tmp_path, "pulumi-used", "1.2.3", {"resource": True, "name": "used", "version": "1.2.3"})
    _install(tmp_path, "pulumi-unused", "1.0.0", {"resource": True, "name": "unused", "version": "1.0.0"})
    _install(tmp_path, "pulumi-policy", "1.0.0", {"resource": False})
    _install(tmp_path, "pulumi", "3.0.0")
    assert _plugins(tmp_path, "pulumi_used.thing", "pulumi_policy", "pulumi", "pydantic") == [("used", "1.2.3")]


def test_what_a_package_leaves_out_comes_from_its_distribution(tmp_path: Path) -> None:
    _install(tmp_path, "pulumi-plain", "4.5.6", {"resource": True})
    assert _plugins(tmp_path, "pulumi_plain") == [("plain", "4.5.6")]


def test_a_package_brings_the_plugins_of_the_packages_it_requires(tmp_path: Path) -> None:
    _install(tmp_path, "pulumi-top", "1.0.0", {"resource": True}, requires="pulumi-below>=2,pulumi-extra; extra == 'x'")
    _install(tmp_path, "pulumi_below", "2.0.0", {"resource": True}, requires="pulumi-top")
    _install(tmp_path, "pulumi-extra", "3.0.0", {"resource": True})
    assert _plugins(tmp_path, "pulumi_top") == [("top", "1.0.0"), ("below", "2.0.0")]


def test_a_parameterized_package_keeps_its_parameter(tmp_path: Path) -> None:
    parameter = {"name": "it", "version": "1.0.0", "value": base64.b64encode(b"schema").decode()}
    _install(tmp_path, "pulumi-it", "1.0.0", {"resource": True, "name": "terraform", "parameterization": parameter})
    [plugin] = packages.plugins(Interpreter(Path("python"), (tmp_path,)), {"pulumi_it"})
    assert plugin.parameterization == parameter


def test_a_project_may_name_its_own_virtual_environment(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").touch()
    site = tmp_path / ".venv" / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    assert for_project(tmp_path, ".venv") == Interpreter(tmp_path / ".venv" / "bin" / "python", (site,))
    assert for_project(tmp_path, "") == own()
