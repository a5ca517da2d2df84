"""The supervisor: keeps the processes of the table running.

It can be killed at any moment: the next one adopts what runs. SIGTERM stops everything and then itself; SIGHUP reads
the file of processes again and restarts what has changed.
"""

import fcntl
import hashlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from local.node import procfs
from local.node.procfs import Record
from local.node.report import Statement
from local.node.unit import Unit, read_orders

_GRACE = 3.0
_TICK = 0.25
_ROTATE_EVERY = 30.0


class Supervisor:
    """Runs the processes of one file, keeps its records under `run`, and says how they are in `run`/status.json."""

    def __init__(self, run: Path, processes: Path, logs: Path, authority: Path) -> None:
        self._run = run
        self._processes = processes
        self._logs = logs
        self._authority = authority
        self._records = run / "processes"
        self._records.mkdir(parents=True, exist_ok=True)
        self._units: dict[str, Unit] = {}
        self._digest = ""
        self._stop = False
        self._reload = True
        self._said = Statement()
        self._next_rotation = 0.0
        self._wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def serve(self) -> None:
        """Keep the processes running until SIGTERM; then stop them all."""
        while not self._stop:
            if self._reload:
                self._reload = False
                self._load()
            self._step()
            self._await(_TICK)
        self._stop_all(list(self._units.values()))
        self._say()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._stop = True

    def _load(self) -> None:
        self._digest, orders = read_orders(self._processes)
        wanted = {order.name: order for order in orders}
        # Whatever an earlier table started and this one does not name is found by its record.
        known = {file.stem for file in self._records.glob("*.json")} | set(self._units)
        leaving: list[Unit] = []
        for name in known | set(wanted):
            unit = self._units.get(name)
            if unit is None and name in wanted:
                unit = self._units[name] = Unit(wanted[name], self._records, self._logs, self._authority)
                unit.adopt()
            elif unit is not None and name in wanted:
                unit.order = wanted[name]
            elif unit is None:
                unit = Unit.leftover(name, self._records, self._logs, self._authority)
            if name not in wanted:
                self._units.pop(name, None)
            if name not in wanted or unit.outdated:
                leaving.append(unit)
        self._stop_all(leaving)
        self._units = {name: self._units[name] for name in wanted}

    def _step(self) -> None:
        now = time.monotonic()
        for unit in self._units.values():
            if unit.has_ended():
                unit.ended(now)
            if not self._waits_for(unit):
                unit.start(now)
            unit.check(now)
        if now > self._next_rotation:
            self._next_rotation = now + _ROTATE_EVERY
            for unit in self._units.values():
                unit.rotate()
        self._say()

    def _waits_for(self, unit: Unit) -> str:
        return next((name for name in unit.order.after if name in self._units and not self._units[name].ready), "")

    def _await(self, seconds: float) -> None:
        """Wait until a process ends, a signal arrives, or `seconds` have passed."""
        descriptors = [unit.pidfd for unit in self._units.values() if unit.pidfd is not None]
        ready, _, _ = select.select([self._wake, *descriptors], [], [], seconds)
        if self._wake in ready:
            os.read(self._wake, 512)

    def _stop_all(self, units: list[Unit]) -> None:
        """Stop `units`, those that others need last; kill what does not stop in time."""
        running = [unit for unit in units if unit.pidfd is not None]
        while running:
            needed = {name for unit in running for name in unit.order.after}
            leaves = [unit for unit in running if unit.order.name not in needed] or running
            for unit in leaves:
                unit.signal(signal.SIGTERM)
            deadline = time.monotonic() + _GRACE
            waiting = leaves
            while waiting:
                left = deadline - time.monotonic()
                if left <= 0:
                    for unit in waiting:
                        unit.signal(signal.SIGKILL)
                descriptors = [unit.pidfd for unit in waiting if unit.pidfd is not None]
                select.select(descriptors, [], [], max(left, _TICK))
                waiting = [unit for unit in waiting if not unit.has_ended()]
            for unit in leaves:
                unit.stopped()
            running = [unit for unit in running if unit not in leaves]

    def _say(self) -> None:
        reports = tuple(unit.report(self._waits_for(unit)) for unit in self._units.values())
        statement = Statement(digest=self._digest, reports=reports)
        if statement != self._said:
            statement.write(self._run)
            self._said = statement


def main(arguments: list[str]) -> int:
    """Leave the caller and serve, unless another supervisor already does."""
    run, processes, logs, authority = (Path(argument) for argument in arguments)
    if os.fork():
        return 0
    os.setsid()
    leave_control_groups(Path("/proc/self/mountinfo").read_text())
    with (run / "supervisor.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        supervisor = Supervisor(run, processes, logs, authority)
        # Only now may others find it: a signal that comes before the handlers are there would kill it.
        procfs.myself(edition()).write(run / "supervisor.json")
        supervisor.serve()
        (run / "supervisor.json").unlink()
    return 0


def leave_control_groups(mountinfo: str) -> None:
    """Move to the top of every cgroup hierarchy: in the caller's groups, its limits would count and its end be ours."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] in ("cgroup", "cgroup2"):
            try:
                Path(left.split()[4], "cgroup.procs").write_text(str(os.getpid()))
            except OSError as error:
                print(f"staying in the caller's cgroup: {error}", file=sys.stderr)


def edition() -> str:
    """Return what identifies this code: a supervisor of another edition is replaced, and what it ran adopted."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def running(run: Path) -> Record | None:
    """Return the record of the supervisor that serves `run`, or None."""
    return Record.read(run / "supervisor.json")
