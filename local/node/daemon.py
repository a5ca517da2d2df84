"""Talking to the supervisor: start it, tell it of a new table, wait until everything is ready, stop it."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from local.node import procfs, supervisor
from local.node.pki import write_private
from local.node.processes import PATH, Process
from local.node.report import Statement
from local.problem import Problem

REPOSITORY = Path(__file__).resolve().parents[2]
_POLL = 0.1
_KILL_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The supervisor of one folder of records, one file of processes and one folder of logs."""

    run: Path
    processes: Path
    logs: Path
    authority: Path
    # A process that has been failing for this long will not recover by being started once more.
    patience: float = 10.0

    @property
    def arguments(self) -> tuple[str, ...]:
        """What the supervisor and the guard are called with."""
        return str(self.run), str(self.processes), str(self.logs), str(self.authority)

    @property
    def guard(self) -> Process:
        """The process that starts the supervisor again if it dies; the supervisor does the same for it."""
        return Process(
            name="guard",
            command=(sys.executable, "-m", "local.node", "guard", *self.arguments),
            # Its edition is part of what it is started with, so that a guard of older code is replaced.
            environment={"PATH": PATH, "PYTHONPATH": str(REPOSITORY), "EDITION": supervisor.edition()},
        )

    def apply(self, processes: Sequence[Process]) -> str:
        """Have the supervisor run exactly `processes`; return the table's digest. If it does already, touch nothing."""
        entries = [{**asdict(process), "digest": process.digest} for process in processes]
        digest = sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
        write_private(self.processes, json.dumps({"digest": digest, "processes": entries}, indent=1))
        record = supervisor.running(self.run)
        if record is None or record.digest != supervisor.edition():
            # Killed and not asked to end, as that would stop what it runs.
            self._kill(record)
            self.start()
        elif Statement.read(self.run).digest != digest:
            os.kill(record.pid, signal.SIGHUP)
        return digest

    def start(self) -> None:
        """Start a supervisor that outlives this process. If one runs already, the new one leaves at once."""
        for folder in (self.run, self.logs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.logs / "supervisor.log").open("ab") as log:
            subprocess.run(
                [sys.executable, "-m", "local.node", "supervisor", *self.arguments],
                # Nothing of the caller's environment: it may hold secrets, proxies or a kubeconfig.
                env={"PATH": PATH, "PYTHONPATH": str(REPOSITORY)},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
            )

    def wait(self, digest: str, timeout: float, names: Sequence[str] = ()) -> None:
        """Wait until the processes of the table `digest` (or only `names`) are ready; else a Problem says why not."""
        failing_since: dict[str, float] = {}

        def done() -> bool:
            said = Statement.read(self.run)
            # What a supervisor that was killed last said stays until the new one speaks.
            if said.digest != digest or supervisor.running(self.run) is None:
                return False
            reports = [report for report in said.reports if not names or report.name in names]
            for report in reports:
                if report.state != "failing":
                    failing_since.pop(report.name, None)
                elif time.monotonic() - failing_since.setdefault(report.name, time.monotonic()) > self.patience:
                    raise Problem(f"{report.name}: {report.problem}")
            return all(report.state == "ready" and report.alive for report in reports)

        if not wait_for(done, timeout):
            said = Statement.read(self.run)
            problems = said.problems or [f"the supervisor says nothing; see {self.logs / 'supervisor.log'}"]
            raise Problem(f"the node is not ready after {timeout:.0f} s:\n" + "\n".join(problems))

    def stop(self, timeout: float) -> None:
        """Stop the supervisor and everything it runs; what does not stop by itself is killed."""
        record = supervisor.running(self.run)
        pidfd = procfs.open_process(record) if record else None
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
            select.select([pidfd], [], [], timeout)
            os.close(pidfd)
        # The guard first: it would start another supervisor.
        files = sorted((self.run / "processes").glob("*.json"), key=lambda file: file.stem != "guard")
        for file in [self.run / "supervisor.json", *files]:
            self._kill(procfs.Record.read(file))

    def _kill(self, record: procfs.Record | None) -> None:
        pidfd = procfs.open_process(record) if record else None
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select([pidfd], [], [], _KILL_TIMEOUT)
            os.close(pidfd)


def wait_for(condition: Callable[[], bool], timeout: float, poll: float = _POLL) -> bool:
    """Wait until `condition` holds; return False if it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True
