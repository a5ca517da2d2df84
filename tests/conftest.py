"""What every suite shares."""

import gc
import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ["PULUMI_ERROR_OUTPUT_STRING"] = "true"  # an Output in an f-string raises instead of becoming a sentence

from local import toolchain
from local.packages import virtual_environment

# A run of the program makes hundreds of thousands of objects that last until its end: a sixth of its time was spent looking for
# garbage among them.
gc.set_threshold(100_000)

pytest_plugins = ["tests.guard", "pytester"]


def _passed_over(_signal: int, _frame: object) -> None:
    """Do nothing, and leave the programs that are started to what they do by default."""


if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup. Programs inherit what is ignored, and a shell cannot trap it: none could be told of a renewed certificate.
    signal.signal(signal.SIGHUP, _passed_over)


@dataclass(frozen=True)
class Tools:
    """The Go tools and the Python environment, as `make up` builds them."""

    binaries: Path
    venv: Path


def parent(process: int) -> int:
    """Return the id of the process that a process comes from; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture(scope="session")
def tools() -> Tools:
    """Every tool, built if the cache lacks it: a suite that needs one never skips for want of it."""
    return Tools(binaries=toolchain.build(print), venv=virtual_environment())


@pytest.fixture(scope="session")
def binaries(tools: Tools) -> Path:
    """Return the directory of the Go tools."""
    return tools.binaries


@pytest.fixture(scope="session")
def definitions() -> Path:
    """Return the directory of the custom resources' definitions; to have it nothing is compiled."""
    return toolchain.definitions() / "crds"
