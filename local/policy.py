"""What the policy pack says of a stack, without a cluster."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from local.engine import Engine
from local.packages import virtual_environment
from local.problem import Problem

_ROOT = Path(__file__).parents[1]
_NOT_JUDGED = 2


def judge(made: Callable[[], Engine]) -> int:
    """Render a stack and judge it: one line for each rule it breaks, on standard output.

    Return 0 if it breaks none that is mandatory for it, 1 if it does, and 2 if it could not be judged.
    """
    try:
        with tempfile.TemporaryDirectory() as place:
            engine, rendered = made(), Path(place) / "rendered"
            engine.render(rendered)
            command = [virtual_environment() / "bin" / "python", "-m", "policies.report", engine.stack, rendered]
            return subprocess.run(command, cwd=_ROOT, check=False).returncode
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return _NOT_JUDGED
