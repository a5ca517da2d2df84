"""A database server, through psql: what the platform notes in it of its backups, and the rows a restore is checked by."""

import os
import subprocess
import time
from collections.abc import Mapping

from repository import Failure

_SECONDS = 120.0
# A login that was ended has no password that fits, or, while its role is still there, may not come in.
_REFUSED = ("authentication failed", "is not permitted to log in")


class Refused(Failure):
    """The server does not take this login."""


def settings() -> dict[str, str]:
    """Return the environment of a client that verifies the primary."""
    given = {
        name: os.environ[f"POSTGRES_{name}"] for name in ("HOST", "PORT", "DATABASE", "USERNAME", "PASSWORD", "CA_FILE")
    }
    return {
        "PGHOST": given["HOST"],
        "PGPORT": given["PORT"],
        "PGDATABASE": given["DATABASE"],
        "PGUSER": given["USERNAME"],
        "PGPASSWORD": given["PASSWORD"],
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": given["CA_FILE"],
        "PGCONNECT_TIMEOUT": "3",
    }


def query(server: Mapping[str, str], statements: str, **values: str) -> list[list[str]]:
    """Run statements in one transaction and return the rows of them all; `:'name'` in them is a value."""
    variables = [f"--set={name}={value}" for name, value in values.items()]
    command = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--single-transaction", "--file=-"]
    done = subprocess.run(
        [*command, "--set=ON_ERROR_STOP=1", "--field-separator=\x1f", *variables],
        env={**os.environ, **server},
        input=statements,
        capture_output=True,
        text=True,
        check=False,
    )
    if any(words in done.stderr for words in _REFUSED):
        why = "a pod keeps the login it has begun with, and a rotation of the passwords ends that of before"
        raise Refused(f"{server['PGHOST']}: {done.stderr.strip()}; {why}: docs/runbooks/password-rotation.md")
    if done.returncode:
        raise Failure(f"{server['PGHOST']}: {done.stderr.strip()}")
    return [line.split("\x1f") for line in done.stdout.splitlines()]


def answers(server: Mapping[str, str], statements: str) -> list[list[str]] | None:
    """Return the rows, or None while the server does not take connections."""
    try:
        return query(server, statements)
    except Failure:
        return None


def await_server(server: Mapping[str, str]) -> None:
    """Return when the server answers. A new pod's packets are refused until the node's firewall has heard of the pod."""
    deadline = time.monotonic() + _SECONDS
    while answers(server, "SELECT 1;") is None:
        if time.monotonic() > deadline:
            query(server, "SELECT 1;")  # raises what is wrong
        time.sleep(0.5)


SENTINELS = """
SELECT count(*), md5(string_agg(id || checksum, '' ORDER BY id)), extract(epoch FROM max(written_at)) FROM platform.sentinels;
"""
"""Row count, checksum over all rows, and when the newest was written."""


def add_sentinel(server: Mapping[str, str]) -> None:
    """Write one row more for restores to be checked by."""
    query(server, "SELECT platform.add_sentinel();")
