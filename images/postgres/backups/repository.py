"""The bucket with the backups, as pgBackRest sees it: what is there, and what it says when something is wrong."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# As pgBackRest numbers the states of a stanza (its user guide, command info).
_OK, _NO_STANZA, _NO_BACKUP = 0, 1, 2
_PATIENCE_SECONDS = float(os.environ.get("BACKUPS_PATIENCE_SECONDS", "120"))


class Failure(Exception):  # noqa: N818 - it is what went wrong, said for whoever reads the pod's log
    """What went wrong, and what it was meant for."""


@dataclass(frozen=True)
class Backup:
    """A complete backup: its name in the bucket, its kind, and when it began and ended, in seconds since 1970."""

    label: str
    kind: str
    started: int
    ended: int


@dataclass(frozen=True)
class Contents:
    """What is in the bucket: where its log is, empty if it was never prepared; and the complete backups, the oldest first."""

    archive: str
    backups: tuple[Backup, ...]


def pgbackrest(*arguments: str) -> str:
    """Return what pgBackRest prints; raise Failure with its own words if it fails."""
    done = subprocess.run(
        ["pgbackrest", *arguments],
        capture_output=True,
        text=True,
        errors="replace",  # with a wrong key it quotes what it took for text
        check=False,
    )
    if done.returncode:
        said = (done.stderr + done.stdout).strip() or f"exit code {done.returncode}"
        raise Failure(f"pgbackrest {arguments[0]}: {said}")
    if done.stderr:
        say(done.stderr.rstrip())
    return done.stdout


def contents() -> Contents:
    """Return what is in the bucket. Raises Failure if that cannot be told: an unreadable bucket is not an empty one."""
    bucket = f"{os.environ['PGBACKREST_REPO1_S3_BUCKET']} at {os.environ['PGBACKREST_REPO1_S3_ENDPOINT']}"
    printed = pgbackrest("info", "--output=json")
    try:
        # Its messages are quoted as they are, line breaks included.
        (stanza,) = json.loads(printed, strict=False)
    except ValueError as error:
        raise Failure(f"the backups in {bucket} cannot be read: {printed}") from error
    status: dict[str, Any] = stanza["status"]
    if status["code"] not in (_OK, _NO_STANZA, _NO_BACKUP):
        repositories: list[dict[str, Any]] = stanza["repo"]
        said = "; ".join(" ".join(repository["status"]["message"].split()) for repository in repositories)
        raise Failure(f"the backups in {bucket} cannot be read: {said or status['message']}")
    found: list[dict[str, Any]] = stanza["backup"]
    return Contents(
        archive="{version}-{id}".format(**stanza["db"][-1]) if status["code"] != _NO_STANZA else "",
        backups=tuple(
            Backup(backup["label"], backup["type"], backup["timestamp"]["start"], backup["timestamp"]["stop"])
            for backup in found
        ),
    )


def patiently(ask: Callable[[], Contents]) -> Contents:
    """Return the answer as soon as there is one: a new pod's packets are refused until the firewall has heard of it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return ask()
        except Failure:
            if time.monotonic() > deadline:
                raise
            time.sleep(2)


def say(line: str) -> None:
    """Print a line of the pod's log."""
    print(line, flush=True)


def command(action: Callable[[], None]) -> None:
    """Run what the container is for; a Failure ends it with its words and exit code 1."""
    try:
        action()
    except Failure as failure:
        sys.exit(f"error: {failure}")
