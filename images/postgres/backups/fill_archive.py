"""Brings what a change of the primary left out into the archive: the log of the timelines that led to the server's own.

A standby takes the log it receives for archived, and a server that leads no longer archives nothing. So what the former primary
could not archive before it went, because the store was away or its key was changed, would be missing for ever, and no restore
goes over a gap. Patroni runs this where a server starts or changes its role. Only whole segments before the moment of the change
are brought: what came after it on the former primary never happened. It tries until all that this server still has is there
(`wal_keep_size` says how much that is), and can be killed at any point and run again.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from database import answers
from repository import Failure, contents, pgbackrest, say

_PAUSE_SECONDS = 10
_SEGMENT = re.compile(r"[0-9A-F]{24}")
# In the archive with the checksum of its content. What was left of a timeline's last segment is called otherwise.
_ARCHIVED = re.compile(r"^([0-9A-F]{24})-", re.MULTILINE)
# A server that follows has asked the primary for the histories of its timelines before it receives the first of its log.
_SETTLED = "SELECT NOT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming');"


@dataclass(frozen=True)
class Segment:
    """A file of the log: its name is timeline, upper half of the position, and number among those that start with it."""

    path: Path

    @property
    def timeline(self) -> int:
        """The timeline it was written on."""
        return int(self.path.name[:8], 16)

    @property
    def folder(self) -> str:
        """Where the archive has it."""
        return self.path.name[:16]

    @property
    def end(self) -> int:
        """The position that follows its last byte."""
        return (int(self.path.name[8:16], 16) << 32) + (int(self.path.name[16:], 16) + 1) * self.path.stat().st_size


def fill(log: Path, server: Mapping[str, str]) -> None:
    """Return when the archive has every whole segment of the earlier timelines that this server has."""
    while answers(server, _SETTLED) != [["t"]]:
        time.sleep(1)
    ends, said = earlier(log), False
    while True:
        try:
            for segment in _missing(log, ends):
                pgbackrest("archive-push", str(segment.path))
                say(f"{segment.path.name}: was missing in the archive, and is there now")
        except (Failure, FileNotFoundError) as problem:
            # A segment may be gone meanwhile. Its words are many, and the same every time but for the hour.
            if not said:
                say(f"the archive cannot be filled yet: {problem}")
            said = True
        else:
            return
        time.sleep(_PAUSE_SECONDS)


def earlier(log: Path) -> dict[int, int]:
    """Return the timelines before the newest, and the position at which each was left."""
    histories = sorted(log.glob("*.history"))
    lines = [line.split() for line in histories[-1].read_text().splitlines()] if histories else []
    ends: dict[int, int] = {}
    for timeline, position in (words[:2] for words in lines if words and words[0].isdigit()):
        upper, _, lower = position.partition("/")
        ends[int(timeline)] = (int(upper, 16) << 32) + int(lower, 16)
    return ends


def _missing(log: Path, ends: Mapping[int, int]) -> Iterator[Segment]:
    """Yield the segments that the archive has not, the oldest first."""
    files = (Segment(file) for file in sorted(log.iterdir()) if _SEGMENT.fullmatch(file.name))
    whole = [segment for segment in files if segment.timeline in ends and segment.end <= ends[segment.timeline]]
    if not whole:
        return
    archive = contents().archive
    if not archive:
        raise Failure("the bucket is not prepared for this database; the first backup does that")
    place = f"archive/{os.environ['PGBACKREST_STANZA']}/{archive}"
    listed = "".join(pgbackrest("repo-ls", f"{place}/{folder}") for folder in sorted({each.folder for each in whole}))
    there = set(_ARCHIVED.findall(listed))
    yield from (segment for segment in whole if segment.path.name not in there)


if __name__ == "__main__":
    fill(
        Path(os.environ["PGDATA"]) / "pg_wal",
        {"PGHOST": os.environ["PGHOST"], "PGUSER": "postgres", "PGDATABASE": "postgres", "PGSSLMODE": "disable"},
    )
