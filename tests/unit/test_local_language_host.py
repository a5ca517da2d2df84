"""The language host as the engine sees it: a process, a port, a service."""

import json
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime.proto import language_pb2

from tests.engine.fake_engine import Host, language_host
from tests.processes import eventually

_SECRET = "canary-7f3a91"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host]:
    with language_host(tmp_path_factory.mktemp("host") / "host.log") as running:
        yield running


@pytest.fixture
def host(shared: Host) -> Host:
    shared.engine.messages.clear()
    return shared


@pytest.fixture
def mortal(tmp_path: Path) -> Generator[Host]:
    """Give a host of the test's own, to be ended."""
    with language_host(tmp_path / "host.log") as running:
        yield running


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        directory = tmp_path / "program"
        directory.mkdir(exist_ok=True)
        (directory / "__main__.py").write_text(text)
        return directory

    return write


def _gone(process: int) -> bool:
    return not Path(f"/proc/{process}").exists()


def test_a_program_gets_its_stack_its_config_and_its_secrets(host: Host, program: Callable[[str], Path]) -> None:
    text = """
import pulumi
config = pulumi.Config()
pulumi.export("stack", f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
pulumi.export("word", config.require("word"))
pulumi.export("tree", config.require_object("tree"))
pulumi.export("password", config.require_secret("password"))
pulumi.export("is_secret", pulumi.runtime.is_config_secret("toy:password"))
"""
    config = {"toy:word": "hello", "toy:tree": json.dumps({"a": [1, 2]}), "toy:password": _SECRET}
    response = host.run(program(text), config, secret_keys=("toy:password",))
    assert (response.error, response.bail) == ("", False), host.engine.messages
    assert host.engine.outputs["stack"] == "organization/toy/dev"
    assert host.engine.outputs["word"] == "hello"
    assert host.engine.outputs["tree"] == {"a": [1, 2]}
    assert host.engine.outputs["password"]["value"] == _SECRET
    assert "4dabf18193072939515e22adb298388d" in host.engine.outputs["password"]
    assert host.engine.outputs["is_secret"] is True


def test_no_secret_is_in_the_arguments_or_the_environment_of_a_process(
    host: Host, program: Callable[[str], Path], tmp_path: Path
) -> None:
    text = f"""
import pathlib, pulumi
pulumi.Config().require("password")
for name in ("cmdline", "environ"):
    seen = pathlib.Path(f"/proc/self/{{name}}").read_bytes()
    pathlib.Path({str(tmp_path)!r}, name).write_bytes(seen)
"""
    host.run(program(text), {"toy:password": _SECRET}, secret_keys=("toy:password",))
    for name in ("cmdline", "environ"):
        seen = (tmp_path / name).read_bytes()
        assert seen
        assert _SECRET.encode() not in seen


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ""),
        ("import sys; sys.exit(3)", "the program exited with code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "the program was killed by signal 9"),
    ],
)
def test_the_exit_code_of_a_program_is_told(host: Host, program: Callable[[str], Path], text: str, error: str) -> None:
    assert host.run(program(text)) == language_pb2.RunResponse(error=error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import pulumi; raise pulumi.RunError('give it a name')", "give it a name"),
        ("raise ValueError('max (2) is below min (5)')", "max (2) is below min (5)\n  (refused at __main__.py:1)"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def :", "SyntaxError: invalid syntax"),
        ("import pulumi; pulumi.Config().require('word')", "Missing required configuration variable 'toy:word'"),
    ],
)
def test_what_is_wrong_is_told_once(host: Host, program: Callable[[str], Path], text: str, message: str) -> None:
    assert host.run(program(text)) == language_pb2.RunResponse(bail=True)
    assert message in host.engine.messages[-1]


def test_a_traceback_shows_the_program_and_nothing_of_the_framework(host: Host, program: Callable[[str], Path]) -> None:
    directory = program("import pulumi, parts\npulumi.Output.from_input(1).apply(parts.broken)\n")
    (directory / "parts.py").write_text("def broken(value):\n    return {}['missing']\n")
    assert host.run(directory).bail
    message = host.engine.messages[-1]
    assert "parts.py" in message
    assert "KeyError: 'missing'" in message
    assert "site-packages" not in message
    assert "language_host" not in message


def test_a_validation_error_is_one_line_for_each_key(host: Host, program: Callable[[str], Path]) -> None:
    text = """
import pydantic
class Settings(pydantic.BaseModel, extra="forbid", strict=True):
    size: int
Settings.model_validate_json('{"size": "3", "sise": 4}')
"""
    assert host.run(program(text)).bail
    assert host.engine.messages[-1].splitlines() == [
        "Settings is not valid:",
        "  size: Input should be a valid integer (is '3')",
        "  sise: Extra inputs are not permitted (is 4)",
    ]


def test_a_folder_without_a_program_is_named(host: Host, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert host.run(tmp_path / "empty").bail
    assert host.engine.messages[-1] == f"{tmp_path / 'empty'}: there is no __main__.py, which is the program"


def test_output_is_streamed_while_the_program_runs(host: Host, program: Callable[[str], Path], tmp_path: Path) -> None:
    text = f"""
import os
print("first line")
os.mkfifo({str(tmp_path / "gate")!r}); open({str(tmp_path / "gate")!r}).read()
"""
    running = host.calls.Run.future(host.request(program(text)))
    assert host.process.stdout is not None
    assert host.process.stdout.readline() == b"first line\n"
    assert not running.done()
    eventually((tmp_path / "gate").exists, "the program waits at its gate")
    (tmp_path / "gate").write_text("go on")
    assert running.result(timeout=20) == language_pb2.RunResponse()


_WAITING = """
import os, pathlib, threading
pathlib.Path({file!r}).write_text(str(os.getpid()))
threading.Event().wait()
"""


@pytest.fixture
def waiting(program: Callable[[str], Path], tmp_path: Path) -> tuple[Path, Callable[[], int]]:
    """Give a program that never ends, and what waits for its process id."""
    file = tmp_path / "pid"
    return (
        program(_WAITING.format(file=str(file))),
        lambda: int(eventually(lambda: file.exists() and file.read_text(), "the program runs")),
    )


def _cancel_by_the_service(host: Host) -> None:
    host.calls.Cancel(Empty())


def _interrupt(host: Host) -> None:
    host.process.send_signal(signal.SIGINT)


def _kill(host: Host) -> None:
    host.process.kill()


@pytest.mark.parametrize("stop", [_cancel_by_the_service, _interrupt, _kill])
def test_a_program_ends_with_the_host_and_without_a_traceback(
    mortal: Host, waiting: tuple[Path, Callable[[], int]], tmp_path: Path, stop: Callable[[Host], None]
) -> None:
    running = mortal.calls.Run.future(mortal.request(waiting[0]))
    process = waiting[1]()
    stop(mortal)
    eventually(lambda: _gone(process), "the program is gone")
    if stop is _cancel_by_the_service:
        assert running.result(timeout=20).bail
    else:
        assert running.exception(timeout=20) or running.result().bail
        mortal.process.wait(20)
    assert (tmp_path / "host.log").read_text() == ""
    assert mortal.engine.messages == []


def test_a_cancelled_call_ends_the_program(host: Host, waiting: tuple[Path, Callable[[], int]]) -> None:
    running = host.calls.Run.future(host.request(waiting[0]))
    process = waiting[1]()
    running.cancel()
    eventually(lambda: _gone(process), "the program is gone")


def test_a_host_ends_with_its_engine(mortal: Host, waiting: tuple[Path, Callable[[], int]]) -> None:
    running = mortal.calls.Run.future(mortal.request(waiting[0]))
    program = waiting[1]()
    mortal.engine_server.stop(None).wait()
    mortal.process.wait(20)
    assert running.exception(timeout=20) or running.result().bail
    eventually(lambda: _gone(program), "the program is gone")
