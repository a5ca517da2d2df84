"""One supervised process: started or adopted, watched through a pidfd, restarted after a pause that grows."""

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.node import health, procfs
from local.node.procfs import Record
from local.node.report import Report

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0
# A process that has run this long has recovered: its next failure is a first one again.
_SETTLED = 30.0
_FAILING = 3
_TAIL_LINES = 12
_ROTATE_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class Order:
    """What to run, as the file of processes says it."""

    name: str
    command: tuple[str, ...]
    ready: str
    after: tuple[str, ...]
    environment: Mapping[str, str]
    digest: str


class Unit:
    """One process of the table, and what is known of it."""

    def __init__(self, order: Order, records: Path, logs: Path, authority: Path) -> None:
        self.order = order
        self.record: Record | None = None
        self.pidfd: int | None = None
        self.ready = False
        self.failures = 0
        self.restarts = 0
        self.complaint = ""
        self._record_file = records / f"{order.name}.json"
        self._log = logs / f"{order.name}.log"
        self._authority = authority
        self._child: subprocess.Popen[bytes] | None = None
        self._since = 0.0
        self._not_before = 0.0
        self._next_check = 0.0

    @classmethod
    def leftover(cls, name: str, records: Path, logs: Path, authority: Path) -> "Unit":
        """Return the unit of a process that an earlier table started, so that it can be stopped."""
        unit = cls(
            Order(name=name, command=(), ready="", after=(), environment={}, digest=""), records, logs, authority
        )
        unit.adopt()
        return unit

    def adopt(self) -> None:
        """Take over the process that an earlier supervisor left running, if there is one."""
        record = Record.read(self._record_file)
        pidfd = procfs.open_process(record) if record else None
        if record and pidfd is not None:
            self.record, self.pidfd, self._since = record, pidfd, time.monotonic()

    @property
    def outdated(self) -> bool:
        """Tell whether what runs is not what was ordered."""
        return self.record is not None and self.record.digest != self.order.digest

    def start(self, now: float) -> None:
        """Start the process unless its pause is not over. A program that cannot be run counts as a failure."""
        if self.pidfd is not None or now < self._not_before:
            return
        self.rotate()
        with self._log.open("ab") as log:
            try:
                child = subprocess.Popen(
                    self.order.command,
                    env=dict(self.order.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    # Written by the child itself before it becomes the program: no kill -9 of the supervisor can leave
                    # a process behind that nobody knows of. The supervisor has one thread, so this is safe.
                    preexec_fn=self._write_record,  # noqa: PLW1509
                    cwd="/",
                )
            except (OSError, subprocess.SubprocessError) as error:
                log.write(f"{self.order.command[0]}: {error}\n".encode())
                self._failed(now)
                return
        self._child = child
        self.record = Record(child.pid, procfs.start_time(child.pid) or 0, self.order.digest)
        self.pidfd = os.pidfd_open(child.pid)
        self.ready, self._since, self._next_check = False, now, now

    def ended(self, now: float) -> None:
        """Note that the process has ended, and for how long to wait before the next start."""
        self._release()
        if now - self._since > _SETTLED:
            self.failures = 0
        self.restarts += 1
        self._failed(now)

    def check(self, now: float) -> None:
        """Ask the process whether it is well: often while it starts, now and then later."""
        if self.pidfd is None or now < self._next_check:
            return
        self.complaint = health.complaint(self.order.ready, self._authority) or ""
        self.ready = not self.complaint
        if self.ready and now - self._since > _SETTLED:
            self.failures = 0
        self._next_check = time.monotonic() + (3.0 if self.ready else 0.2)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process, if it runs."""
        if self.pidfd is None:
            return
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except ProcessLookupError:
            self.complaint = "it has just ended"

    def stopped(self) -> None:
        """Forget the process: it has been stopped on purpose, and may be started again at once."""
        self._release()
        self.failures, self._not_before = 0, 0.0

    def has_ended(self) -> bool:
        """Tell whether the process has ended since it was last seen running."""
        return self.pidfd is not None and bool(select.select([self.pidfd], [], [], 0)[0])

    def report(self, waits_for: str) -> Report:
        """Return how the process is. `waits_for` names the process that must be ready first, if there is one."""
        state, problem = "starting", self.complaint
        if self.ready:
            state, problem = "ready", ""
        elif self.failures >= _FAILING:
            state = "failing"
            problem = f"it has ended {self.failures} times in a row; the end of {self._log}:\n{self._tail()}"
        elif self.record is None:
            state, problem = "waiting", f"waits for {waits_for}" if waits_for else self.complaint
        return Report(
            name=self.order.name,
            state=state,
            problem=problem,
            pid=self.record.pid if self.record else 0,
            started=self.record.started if self.record else 0,
            restarts=self.restarts,
        )

    def _write_record(self) -> None:
        procfs.myself(self.order.digest).write(self._record_file)

    def _failed(self, now: float) -> None:
        self.failures += 1
        self._not_before = now + min(_FIRST_PAUSE * 2 ** (self.failures - 1), _LONGEST_PAUSE)
        self.complaint = "it has ended and will be started again"

    def _release(self) -> None:
        if self.pidfd is not None:
            os.close(self.pidfd)
        if self._child is not None:
            self._child.wait()
        self.pidfd, self._child, self.record, self.ready = None, None, None, False
        self._record_file.unlink(missing_ok=True)

    def rotate(self) -> None:
        """Keep the log within bounds. It is copied and emptied, as the process goes on writing to the same file."""
        if self._log.exists() and self._log.stat().st_size > _ROTATE_BYTES:
            self._log.with_suffix(".log.1").write_bytes(self._log.read_bytes())
            os.truncate(self._log, 0)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])


def read_orders(file: Path) -> tuple[str, tuple[Order, ...]]:
    """Return the digest of the file of processes, and the orders in it."""
    content = json.loads(file.read_text())
    orders = tuple(
        Order(
            name=entry["name"],
            command=tuple(entry["command"]),
            ready=entry["ready"],
            after=tuple(entry["after"]),
            environment=entry["environment"],
            digest=entry["digest"],
        )
        for entry in content["processes"]
    )
    return content["digest"], orders
