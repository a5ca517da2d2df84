"""A command run as if the user had: with our output as its output, and interrupted with us."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_LIBRARY = ctypes.CDLL(None)


def exit_code(command: Sequence[str], cwd: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Run the engine and return its exit code. An interrupt reaches it too; wait until it has tidied up."""
    sys.stdout.flush()
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=_interrupted_with_us,  # noqa: PLW1509 - it makes one system call and takes no lock
    )
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            say("interrupted: waiting for the engine to finish what it has begun")


def _interrupted_with_us() -> None:
    """In the child: be interrupted when our parent dies in whatever way, as from the keyboard, and tidy up."""
    if sys.platform == "linux":
        _LIBRARY.prctl(_DEATH_SIGNAL, signal.SIGINT)
