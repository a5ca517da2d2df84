"""What the engine asks a language host about a project before it runs it."""

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import language_pb2

from tests.engine.fake_engine import Host, info, language_host


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    with language_host(tmp_path_factory.mktemp("host") / "host.log") as running:
        yield running


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        (tmp_path / "__main__.py").write_text(text)
        return tmp_path

    return write


def test_the_version_is_that_of_the_sdk(host: Host) -> None:
    assert host.calls.GetPluginInfo(Empty()).version == "3.256.0"


def test_a_project_without_requirements_installs_nothing(host: Host, program: Callable[[str], Path]) -> None:
    request = language_pb2.InstallDependenciesRequest(info=info(program("")))
    assert list(host.calls.InstallDependencies(request)) == []


def _next(parts: Any) -> Any:
    """Return the next part of an answer, or None at its end, whichever way it ended."""
    try:
        return next(parts)
    except (StopIteration, grpc.RpcError):
        return None


def test_requirements_that_cannot_be_installed_are_told(host: Host, program: Callable[[str], Path]) -> None:
    directory = program("")
    (directory / "requirements.txt").write_text("not a requirement\n")
    request = language_pb2.InstallDependenciesRequest(info=info(directory))
    parts = host.calls.InstallDependencies(request)
    shown = b""
    while (part := _next(parts)) is not None:
        shown += part.stdout + part.stderr
    assert parts.details() == f"pip install -r {directory / 'requirements.txt'}: exit code 1"
    assert b"Invalid requirement" in shown


def test_required_packages_are_those_the_program_imports(host: Host, program: Callable[[str], Path]) -> None:
    directory = program("import pulumi\nfrom parts import thing\n")
    (directory / "parts").mkdir()
    (directory / "parts" / "__init__.py").write_text("from . import thing\n")
    (directory / "parts" / "thing.py").write_text("from pulumi_random import RandomId\n")
    request = language_pb2.GetRequiredPackagesRequest(info=info(directory))
    found = host.calls.GetRequiredPackages(request).packages
    assert [(it.name, it.kind, it.version) for it in found] == [("random", "resource", "4.21.4")]
    # The child that was started meanwhile runs the program, and a second one the next.
    assert host.run(directory) == language_pb2.RunResponse()
    assert host.run(directory) == language_pb2.RunResponse()


def test_the_python_of_the_project_is_reported(host: Host, program: Callable[[str], Path]) -> None:
    about = host.calls.About(language_pb2.AboutRequest(info=info(program(""))))
    assert os.access(about.executable, os.X_OK)
    request = language_pb2.GetProgramDependenciesRequest(info=info(program("")), transitiveDependencies=True)
    names = {it.name for it in host.calls.GetProgramDependencies(request).dependencies}
    assert {"pulumi", "grpcio"} <= names


def test_a_virtual_environment_that_is_not_there_is_named(host: Host, program: Callable[[str], Path]) -> None:
    with pytest.raises(grpc.RpcError, match=r"`virtualenv: absent` names a virtual environment that is not there"):
        host.calls.About(language_pb2.AboutRequest(info=info(program(""), virtualenv="absent")))
