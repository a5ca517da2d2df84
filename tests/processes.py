"""Processes for the tests: programs that must be there, the workload's own parts, and one way to ask them."""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

REPOSITORY = Path(__file__).parents[1]


def program(name: str, package: str, folder: Path | None = None) -> str:
    """Return the path of a program. A machine without it fails the test, for a skipped test proves nothing."""
    path = shutil.which(name, path=str(folder) if folder else f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        pytest.fail(f"{name} is missing: apt-get install {package}", pytrace=False)
    return path


def free_port() -> int:
    """Return a port of loopback that nobody listens on.

    It is below the node's, which may be starting beside (20244 and up), and below those that the kernel lends to whoever connects
    (32768 and up): one of these may be taken by a stranger before the server that it was meant for listens.
    """
    while True:
        port = 12000 + secrets.randbelow(8000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(condition: Callable[[], T], what: str, seconds: float = 20) -> T:
    """Return the condition's first true answer."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
    return answer


def listens(port: int) -> bool:
    """Tell whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def running(
    command: Sequence[str], log: Path, env: Mapping[str, str] | None = None
) -> Generator[subprocess.Popen[bytes]]:
    """Run a program from the repository until the block ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=REPOSITORY, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def folder_of(user: str) -> Generator[Path]:
    """Lend a temporary folder that a server's own user can use (pytest's are closed to others)."""
    path = Path(tempfile.mkdtemp(prefix="workload-test-"))
    if os.geteuid() == 0:
        shutil.chown(path, int(user) if user.isdigit() else user)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def as_user(user: str) -> list[str]:
    """Return what to put before a command that must not run as root."""
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if os.geteuid() == 0 else []


@dataclass
class Answer:
    """What came back over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(url: str, data: object = None, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask once, whatever the status of its answer; status 0 when there was none."""
    body = data if isinstance(data, bytes) else json.dumps(data).encode() if data is not None else None
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, response.read())
    except urllib.error.HTTPError as problem:
        return Answer(problem.code, {k.lower(): v for k, v in problem.headers.items()}, problem.read())
    except OSError as problem:
        return Answer(0, {}, str(problem).encode())


@dataclass
class Part:
    """One of the workload's processes."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def ask(self, path: str, data: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        return ask(f"http://127.0.0.1:{self.port}{path}", data, headers)

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return self.ask("/readyz").status == 200

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("/metrics").body.decode(), re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def lines(self) -> list[dict[str, Any]]:
        written, _, _ = self.log.read_text().rpartition("\n")  # the last line may be half there
        return [json.loads(line) for line in written.splitlines()]

    def peak_mebibytes(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


@contextmanager
def part(folder: Path, environment: Mapping[str, str], *arguments: str) -> Generator[Part]:
    """Run one of the workload's processes with this environment, and nothing else of ours."""
    port = free_port()
    log = folder / f"{'-'.join(arguments)}-{port}.log"
    values = {"PATH": os.environ["PATH"], "PORT": str(port), **environment}
    with running([sys.executable, "-m", "workload.app", *arguments], log, values) as process:
        yield Part(process, port, log)


@contextmanager
def parts(folder: Path, environment: Mapping[str, str], *each: Sequence[str]) -> Generator[list[Part]]:
    """Run several of them, started and stopped together."""
    with ExitStack() as stack:
        started = [stack.enter_context(part(folder, environment, *arguments)) for arguments in each]
        for one in started:
            eventually(one.ready, f"{' '.join(one.log.name)} is ready")
        yield started
        for one in started:
            one.process.send_signal(signal.SIGTERM)
        for one in started:
            one.process.wait(20)
