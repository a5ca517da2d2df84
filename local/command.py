"""Run one program, keep what it prints, and say what failed."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from local.problem import Problem

_SHOWN_LINES = 15


def run(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    timeout: float | None = None,
) -> None:
    """Run `command` to its end with its output appended to `log`; raise Problem with the log's last lines if it fails.

    `env` is added to this process's environment. `timeout` is in seconds.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    shown = " ".join(str(word) for word in command)
    with log.open("ab") as output:
        output.write(f"$ {shown}\n".encode())
        output.flush()
        try:
            done = subprocess.run(
                [str(word) for word in command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise Problem(f"{shown}: {error.strerror}: {error.filename}") from None
        except subprocess.TimeoutExpired:
            raise Problem(f"{shown}: not finished after {timeout:.0f} s; see {log}") from None
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:])
        raise Problem(f"{shown}: exit code {done.returncode}; the end of {log}:\n{tail}")


def output(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float = 60,
) -> str:
    """Return what `command` prints, without the final newline; raise Problem with its errors if it fails."""
    shown = " ".join(str(word) for word in command)
    try:
        done = subprocess.run(
            [str(word) for word in command],
            env={**os.environ, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise Problem(f"{shown}: {error.strerror}: {error.filename}") from None
    except subprocess.TimeoutExpired:
        raise Problem(f"{shown}: no answer within {timeout:.0f} s") from None
    if done.returncode:
        raise Problem(f"{shown}: exit code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.rstrip("\n")
