"""What was measured: kept as JSON, shown as a table."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.json")
TABLE = ROOT / "docs" / "benchmarks.md"
_HEAD = """# How long things take

Measured with `make bench`; the same in JSON is in `bench/results.json`. A preview's time is the best of several.

| What | Seconds | Limit | Of which | Machine | Date |
|---|---:|---:|---|---|---|
"""


def machine() -> dict[str, str | int]:
    """Return what of this machine decides how fast it is."""
    cpus = [line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": cpus[0] if cpus else platform.machine(),
        "memory_gib": round(memory / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


@dataclass(frozen=True)
class Result:
    """One measurement: how long it took, how long it may take, the times it is made of or compared with, what they say."""

    name: str
    seconds: float
    limit: float
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    note: str = ""
    machine: Mapping[str, str | int] = field(default_factory=machine)
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    @property
    def passed(self) -> bool:
        """Tell whether the limit is kept."""
        return self.seconds <= self.limit

    def __str__(self) -> str:
        verdict = "ok" if self.passed else "TOO SLOW"
        parts = "".join(f"\n    {name}: {seconds:.2f} s" for name, seconds in self.parts.items())
        note = f"\n    {self.note}" if self.note else ""
        return f"{self.name}: {self.seconds:.2f} s, limit {self.limit:.2f} s: {verdict}{parts}{note}"


def write(results: Sequence[Result]) -> None:
    """Put these results in the place of earlier ones of the same names, in the JSON and in the table."""
    kept: list[dict[str, object]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    records = {str(record["name"]): Result(**record) for record in kept}  # pyright: ignore[reportArgumentType]
    records |= {result.name: result for result in results}
    RESULTS.write_text(json.dumps([asdict(record) for record in records.values()], indent=2) + "\n")
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(_HEAD + "".join(_row(record) for record in records.values()))


def _row(result: Result) -> str:
    parts = ", ".join([*(f"{name}: {seconds:.1f}" for name, seconds in result.parts.items()), result.note]).rstrip(", ")
    where = f"{result.machine['cpus']} cores, {result.machine['cpu']}, {result.machine['memory_gib']} GiB"
    return f"| {result.name} | {result.seconds:.1f} | {result.limit:.1f} | {parts} | {where} | {result.date} |\n"


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began
