"""What comes from Debian and from the Python package index."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from local import cache
from local.command import run
from local.problem import Problem

TESTED_SERVERS = (
    "memcached",
    "nginx-light",
    "openssl",
    "pgbackrest",
    "pgbouncer",
    "postgresql-15",
    "postgresql-15-pgaudit",
    "redis-server",
)
"""Real servers the unit tests start on loopback."""

_LOCK = Path(__file__).parents[1] / "requirements.lock"


def missing_debian_packages(names: Sequence[str]) -> list[str]:
    """Return which of these packages are not installed; on a system that is not Debian, all of them."""
    if not shutil.which("dpkg-query"):
        return list(names)
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *names],
        capture_output=True,
        text=True,
        check=False,
    )
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in names if name not in installed]


def install_debian_packages(names: Sequence[str], say: Callable[[str], None]) -> None:
    """Install the packages that are missing, as root. Raises Problem if that fails."""
    missing = missing_debian_packages(names)
    if not missing:
        return
    if os.geteuid() != 0:
        raise Problem(
            f"these Debian packages are missing: {' '.join(missing)}; run the command as root, or install them"
        )
    if not shutil.which("apt-get"):
        raise Problem(f"apt-get: not on PATH; these packages are needed: {' '.join(missing)}")
    say(f"{len(missing)} Debian packages: {' '.join(missing)}")
    log = cache.ROOT / "logs" / "packages.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], log=log, env=quiet)
    run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], log=log, env=quiet)


def virtual_environment(lock: Path | None = None) -> Path:
    """Return the Python environment that a lock describes, without one `requirements.lock`, building it if the cache lacks it.

    A virtual environment knows its own path, so it is built in its final place and marked complete at the end. Python's
    real path names it: seen from inside the environment, it is the same one.
    """
    lock = lock or _LOCK
    python = Path(sys.executable).resolve()
    place = cache.ROOT / "python" / cache.key(sys.version, str(python), lock)
    complete = place / ".complete"
    with cache.locked(place):
        if complete.exists() and (place / "bin" / "python").exists():
            return place
        with cache.making(place):
            log, quiet = cache.ROOT / "logs" / "python.log", {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
            pip = [place / "bin" / "python", "-m", "pip"]
            run([python, "-m", "venv", place], log=log)
            run([*pip, "install", "--require-hashes", "--no-deps", "--requirement", lock], log=log, env=quiet)
            # A lock written on another Python can lack what this one needs, as async-timeout before 3.11.3.
            run([*pip, "check"], log=log, env=quiet)
            complete.touch()
    return place
