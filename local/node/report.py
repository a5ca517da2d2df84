"""What the supervisor says about its processes, in a file that anyone may read at any time."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from local.node.procfs import start_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How one process is. `state` is waiting, starting, ready or failing; `problem` is empty if it is ready."""

    name: str
    state: str
    problem: str
    pid: int = 0
    started: int = 0
    restarts: int = 0

    @property
    def alive(self) -> bool:
        """Tell whether the process runs at this moment, whatever the supervisor saw last."""
        return self.pid > 0 and start_time(self.pid) == self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """All reports at one moment. `digest` names the table of processes that the supervisor has read."""

    digest: str = ""
    reports: tuple[Report, ...] = ()

    @property
    def problems(self) -> list[str]:
        """Return one line for everything that is not as it should be."""
        return [
            f"{report.name}: {report.problem or report.state}" for report in self.reports if report.state != "ready"
        ]

    @classmethod
    def read(cls, run: Path) -> "Statement":
        """Return what was said last under `run`; an empty statement if nothing was."""
        try:
            said = json.loads((run / "status.json").read_text())
        except FileNotFoundError:
            return cls()
        return cls(digest=said["digest"], reports=tuple(Report(**report) for report in said["reports"]))

    def write(self, run: Path) -> None:
        """Say it under `run`, whole or not at all."""
        partial = run / ".status.json.partial"
        partial.write_text(json.dumps(asdict(self)))
        partial.rename(run / "status.json")
