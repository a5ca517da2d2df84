"""What a person waits for: `make up` in its three states, `make check`, `make test`."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.results import ROOT, Result
from local import node
from local.problem import Problem

_COLD, _COLD_TOOLS, _WARM, _NOTHING = 35 * 60, 26 * 60, 3 * 60, 20
_CHECK, _TEST = 60, 25 * 60
_STEP = re.compile(r"\[\d+/\d+\] (.+): done in ([\d.]+) s$")


def up_cold() -> list[Result]:
    """Bring the platform up with an empty cache and none of Go's or pip's: all but the Debian packages is made."""
    _no_node()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        flags = f"{os.environ.get('GOFLAGS', '')} -modcacherw".strip()  # so that the directory can be removed
        places = {"PLATFORM_CACHE": "platform", "GOCACHE": "go-build", "GOMODCACHE": "go-modules"}
        empty = {variable: str(Path(name, folder)) for variable, folder in places.items()}
        try:
            whole = _make("up", "make up, cold", _COLD, {**empty, "GOFLAGS": flags, "PIP_NO_CACHE_DIR": "1"})
        finally:
            _down(empty)
    return [whole, Result("make up, cold: tools", whole.parts["tools"], _COLD_TOOLS)]


def up_warm() -> list[Result]:
    """Bring the platform up with everything built and no node."""
    _no_node()
    try:
        return [_make("up", "make up, warm cache and no node", _WARM)]
    finally:
        _down()


def up_nothing() -> list[Result]:
    """Bring up what is up, with nothing to change."""
    was_up = node.kubeconfig.exists()
    _make("up", "make up", _COLD)
    try:
        return [_make("up", "make up, nothing to change", _NOTHING)]
    finally:
        if not was_up:
            _down()


def check() -> list[Result]:
    """Format, lint, types and unit tests, with everything built."""
    _make("check", "make check", _CHECK)
    return [_make("check", "make check, warm", _CHECK)]


def test() -> list[Result]:
    """Everything that is tested, with everything built."""
    return [_make("test", "make test, warm", _TEST)]


def _no_node() -> None:
    if node.kubeconfig.exists():
        raise Problem("the node on this machine is up: `make down` first, which removes its data, then measure")


def _down(env: Mapping[str, str] | None = None) -> None:
    if node.kubeconfig.exists():
        _make("down", "make down", _WARM, env)


def _make(verb: str, name: str, limit: float, env: Mapping[str, str] | None = None) -> Result:
    """Run a verb to its end, show what it says, and return how long it and each of its steps took."""
    began = time.monotonic()
    parts: dict[str, float] = {}
    with subprocess.Popen(
        ["make", verb],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            if done := _STEP.search(line.rstrip()):
                parts[done[1]] = float(done[2])
    seconds = time.monotonic() - began
    if process.returncode:
        raise Problem(f"make {verb}: exit code {process.returncode}; what is wrong is said above")
    return Result(name, seconds, limit, parts)
