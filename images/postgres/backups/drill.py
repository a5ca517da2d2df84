"""Restores the newest backup into a volume of its own, to a moment just noted, and checks what is there against the primary.

Notes in the primary what came of it, also that it was interrupted, and fails if any row is missing, wrong or too new.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from bootstrap import restore
from database import SENTINELS, add_sentinel, answers, await_server, query, settings
from repository import Failure, command, contents, patiently, say

_ARCHIVE_SECONDS, _REPLAY_SECONDS = 600.0, 3600.0
_LAST_LINES = 12

# Nobody writes between the count and the moment; what is written afterwards is later than the moment.
_MOMENT = f"DO 'BEGIN PERFORM platform.lock_sentinels(); END'; {SENTINELS} SELECT clock_timestamp();"
_LATER = "SELECT extract(epoch FROM clock_timestamp()), pg_walfile_name(pg_current_wal_insert_lsn());"
_ARCHIVED = """
SELECT last_archived_wal, extract(epoch FROM last_archived_time), failed_count, last_failed_wal FROM pg_stat_archiver;
"""
_NOTE = """
INSERT INTO platform.restores (started, backup, target, outcome, recovery_point_seconds, recovery_time_seconds)
    VALUES (to_timestamp(:started), nullif(:'backup', ''), nullif(:'target', '')::timestamptz, :'outcome',
        nullif(:'point', '')::float, nullif(:'time', '')::float);
"""


@dataclass
class Result:
    """What is known so far of this drill."""

    backup: str = ""
    target: str = ""
    point: str = ""
    time: str = ""


def drill() -> None:
    """Restore, check, note, clean up."""
    server = settings()
    started, result, data = time.time(), Result(), Path(os.environ["PGDATA"])
    await_server(server)
    outcome = "interrupted"
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        _verify(server, result, data)
        outcome = "verified"
    except Failure as failure:
        outcome = str(failure)
        raise
    finally:
        try:
            query(server, _NOTE, started=str(started), outcome=outcome, **vars(result))
        except Failure as failure:
            raise Failure(f"{outcome}; and this could not be noted: {failure}") from None
        finally:
            shutil.rmtree(data, ignore_errors=True)
    say(f"verified: {result.backup} and the archive, to {result.target}")
    say(f"recovery point {float(result.point):.1f} s, recovery time {float(result.time):.1f} s")


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    """End as an error does: what is running is ended, it is noted, and cleaned up. The default would do none of it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("error: interrupted")


def _verify(server: dict[str, str], result: Result, data: Path) -> None:
    backups = patiently(contents).backups
    if not backups:
        raise Failure("there is no backup in the bucket")
    result.backup = backups[-1].label
    # A moment is looked for in the last backup that ended in an earlier second.
    time.sleep(max(0.0, backups[-1].ended + 1 - time.time()))
    add_sentinel(server)
    expected, (result.target,) = query(server, _MOMENT)
    add_sentinel(server)
    result.point = f"{_await_archive(server):.3f}"
    began = time.monotonic()
    restore(result.target)
    with _serving(data) as restored:
        (found,) = query(restored, SENTINELS)
    result.time = f"{time.monotonic() - began:.3f}"
    if found != expected:
        names = ("rows", "checksum", "newest row")
        wrong = [
            f"{name}: {there} instead of {wanted}"
            for name, there, wanted in zip(names, found, expected, strict=True)
            if there != wanted
        ]
        raise Failure(f"restored to {result.target}, {'; '.join(wrong)}")


def _await_archive(server: dict[str, str]) -> float:
    """Wait until what was written last is in the archive; return for how long it was on the server alone."""
    ((written, wanted),) = query(server, _LATER)
    deadline = time.monotonic() + _ARCHIVE_SECONDS
    while True:
        ((last, archived, failures, failed),) = query(server, _ARCHIVED)
        if last[:24] >= wanted:
            return max(0.0, float(archived) - float(written))
        if time.monotonic() > deadline:
            told = f"; {failures} attempts failed, the last one with {failed}" if failed else ""
            raise Failure(f"{wanted} is not in the archive after {_ARCHIVE_SECONDS:.0f} s{told}")
        time.sleep(1)


@contextmanager
def _serving(data: Path) -> Generator[dict[str, str]]:
    """Run the restored server, reached through its socket and by nobody else, until the block ends; it archives nothing."""
    sockets, log = os.environ.get("PGHOST", "/tmp"), data.parent / "restored.log"  # noqa: S108 - the container's own
    options = {
        "archive_mode": "off",
        "listen_addresses": "",
        "unix_socket_directories": sockets,
        "port": "5432",
        "ssl": "off",
        "hba_file": str(data / "pg_hba.conf"),
        "ident_file": str(data / "pg_ident.conf"),
        "shared_buffers": "64MB",
        "synchronous_standby_names": "",
        "logging_collector": "off",
    }
    command = ["postgres", "-D", str(data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    # Its own way in: the one of the servers is for their passwords.
    (data / "pg_hba.conf").write_text("local all postgres peer\n")
    (data / "pg_ident.conf").touch()
    server = {"PGHOST": sockets, "PGPORT": "5432", "PGUSER": "postgres", "PGDATABASE": os.environ["POSTGRES_DATABASE"]}
    server |= {"PGSSLMODE": "disable"}
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _await_promotion(server, process, log)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
        process.wait()


def _await_promotion(server: dict[str, str], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _REPLAY_SECONDS
    while True:
        if process.poll() is not None:
            told = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
            raise Failure(f"the restored server has ended before it had replayed the archive:\n{told}")
        if answers(server, "SELECT pg_is_in_recovery();") == [["f"]]:
            return
        if time.monotonic() > deadline:
            raise Failure(f"the restored server has not replayed the archive within {_REPLAY_SECONDS:.0f} s")
        time.sleep(0.5)


if __name__ == "__main__":
    command(drill)
