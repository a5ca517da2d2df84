"""What watches over a server's certificate, for images of others and for our own: when it acts, and that it ends."""

import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from components.certificates import TLS, on_renewal
from tests.processes import eventually
from tests.render import ROOT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a certificate, a `sleep` that is soon over, and a command that fails the first time."""
    (tmp_path / "tls.crt").write_text("first")
    programs = {
        "sleep": f"echo >>{tmp_path}/rounds; exec /bin/sleep 0.02",
        "read-again": f'echo "$1" >>{tmp_path}/calls; [ "$(wc -l <{tmp_path}/calls)" -gt 1 ]',
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def some_rounds(folder: Path) -> None:
    """Await that the watcher has looked a few times more."""
    looked = len(lines(folder / "rounds"))
    eventually(lambda: len(lines(folder / "rounds")) > looked + 3, "the watcher goes on looking")


@contextmanager
def watched(folder: Path, watching: str) -> Generator[subprocess.Popen[bytes]]:
    """Run a server and what watches over its certificate; at the end both must be gone."""
    environment = {"PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["sh", "-c", f"{watching}exec cat"]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        try:
            yield server
        finally:
            server.kill()
            server.wait()
        server.communicate(timeout=10)  # the watcher has the other end of this pipe


@pytest.mark.parametrize("ours", [True, False])
def test_the_server_is_told_once_of_each_renewal_until_it_is_gone(folder: Path, ours: bool) -> None:
    script = (ROOT / "images" / "watch-certificate.sh").read_text().replace(TLS, str(folder))
    (folder / "watch-certificate").write_text(script)
    (folder / "watch-certificate").chmod(0o755)
    watching = "watch-certificate read-again $$ &\n" if ours else on_renewal('read-again "$server"', tls=str(folder))
    with watched(folder, watching) as server:
        some_rounds(folder)
        (folder / "tls.crt").unlink()
        some_rounds(folder)
        assert lines(folder / "calls") == []
        (folder / "tls.crt").write_text("second")
        told = [str(server.pid)] * 2
        eventually(
            lambda: lines(folder / "calls") == told, "the server is told again, as it did not hear the first time"
        )
        some_rounds(folder)
        assert lines(folder / "calls") == told
