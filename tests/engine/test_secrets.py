"""No secret leaves the engine but into Secret objects: canaries are planted, and looked for everywhere else."""

import base64
import os
import re
import subprocess
import threading
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import yaml

from local.engine import Cluster, Engine, stackfile
from local.engine.home import home
from local.problem import Problem
from tests.engine.conftest import MakeEngine

_CANARY = "canary-0a9b8c7d6e5f"


@pytest.fixture
def engine(make_engine: MakeEngine, toy: Path, cluster: Cluster) -> Iterator[Engine]:
    """Give an engine for a toy with a secret in its stack file, encrypted as its author would."""
    made = make_engine(toy, cluster=cluster)
    environment = home(made.binaries, made.venv).environment
    file, key = toy / "Pulumi.dev.yaml", f"{stackfile.project(toy)}:password"
    made.outputs()  # creates the stack
    subprocess.run(
        [made.binaries / "pulumi", "config", "set", "--secret", key, "--stack=dev", f"--config-file={file}"],
        cwd=toy,
        env=environment,
        input=_CANARY,
        text=True,
        check=True,
        capture_output=True,
    )
    assert "secure:" in file.read_text()
    yield made
    made.destroy()


def _shapes(secret: str) -> list[bytes]:
    """Return the ways in which a secret could be written without being hidden."""
    return [secret.encode(), base64.b64encode(secret.encode()), base64.b64encode(f"x{secret}".encode())[3:-4]]


def _leaks(directory: Path, secret: str) -> list[str]:
    return [
        str(file)
        for file in directory.rglob("*")
        if file.is_file() and any(shape in _readable(file) for shape in _shapes(secret))
    ]


def _readable(file: Path) -> bytes:
    """Return a file's content, and what it holds if the engine compressed it."""
    content = file.read_bytes()
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        with suppress(zlib.error):
            content += zlib.decompressobj(window).decompress(content)
    return content


@contextmanager
def _watched_processes() -> Generator[set[bytes]]:
    """Collect the arguments of every process there is meanwhile."""
    seen, over = set[bytes](), threading.Event()

    def watch() -> None:
        while not over.wait(0.01):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    seen.add((process / "cmdline").read_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def test_a_secret_is_in_secret_objects_and_nowhere_else(
    engine: Engine, toy: Path, state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with _watched_processes() as arguments:
        engine.preview()
        engine.up()
        engine.preview(refresh=True)
        json_shown = str([*engine.changes(), *engine.drift(), engine.outputs()])
        engine.render(tmp_path / "build")
    made = _made_password(engine)
    shown = capfd.readouterr()
    assert any(b"pulumi" in words for words in arguments)
    for secret in (_CANARY, made):
        for shape in _shapes(secret):
            assert shape not in b"\n".join(arguments)
            assert shape not in (shown.out + shown.err + json_shown).encode()
        assert _leaks(tmp_path / "build", secret) == []
        assert _leaks(state, secret) == []
        assert _leaks(toy, secret) == []
    rendered = tmp_path / "build" / "default" / f"secret-given-{stackfile.project(toy)}.yaml"
    assert yaml.safe_load(rendered.read_text())["stringData"] == {"GIVEN": "<secret>"}


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text(f"password: {_CANARY}")
    (tmp_path / "encoded").write_bytes(base64.b64encode(_CANARY.encode()))
    (tmp_path / "packed").write_bytes(zlib.compress(f"said {_CANARY}".encode()))
    (tmp_path / "clean").write_text("password: <secret>")
    assert sorted(Path(file).name for file in _leaks(tmp_path, _CANARY)) == ["encoded", "packed", "plain"]


def test_a_failing_program_does_not_print_the_secret(
    engine: Engine, toy: Path, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = toy / "__main__.py"
    program.write_text(
        f"{program.read_text()}\nprint('said', config.get('password'))\nraise KeyError(config.get('password'))\n"
    )
    with pytest.raises(Problem):
        engine.preview()
    shown = capfd.readouterr()
    assert "KeyError" in shown.out
    assert _CANARY not in shown.out + shown.err
    assert _leaks(state, _CANARY) == []
    program.write_text(program.read_text().partition("\nprint('said'")[0])


def test_the_passphrase_is_random_and_its_owners_alone(engine: Engine, state: Path) -> None:
    assert engine.cluster is not None
    file = state / "passphrase"
    assert file.stat().st_mode & 0o777 == 0o600
    assert re.fullmatch(r"[\w-]{43}", file.read_text())
    assert state.stat().st_mode & 0o077 == 0


def _made_password(engine: Engine) -> str:
    """Return the password that the program made, as only the holder of the passphrase can."""
    return subprocess.run(
        [engine.binaries / "pulumi", "stack", "output", "made", "--show-secrets", "--stack=dev"],
        cwd=engine.root,
        env={**os.environ, **home(engine.binaries, engine.venv).environment},
        text=True,
        check=True,
        capture_output=True,
    ).stdout.strip()
