"""What the kernel says about processes: which are alive, which holds a port, and since when."""

import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_LISTEN = "0A"


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot; None if there is no such process or it is only a zombie.

    A process id is reused, a process id with its start time is not.
    """
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


@dataclass(frozen=True, slots=True)
class Record:
    """Which process a name stands for, kept in a file to be found again. `digest` says what it was started with."""

    pid: int
    started: int
    digest: str

    @property
    def alive(self) -> bool:
        """Tell whether that very process still runs."""
        return start_time(self.pid) == self.started

    def write(self, file: Path) -> None:
        """Write the record to `file`, whole or not at all."""
        partial = file.with_name(f".{file.name}.{self.pid}")
        partial.write_text(json.dumps([self.pid, self.started, self.digest]))
        partial.rename(file)

    @classmethod
    def read(cls, file: Path) -> "Record | None":
        """Return the record in `file` if its process is alive, else None."""
        try:
            pid, started, digest = json.loads(file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        record = cls(int(pid), int(started), str(digest))
        return record if record.alive else None


def myself(digest: str) -> Record:
    """Return the record of the calling process."""
    pid = os.getpid()
    return Record(pid, start_time(pid) or 0, digest)


def open_process(record: Record) -> int | None:
    """Return a pidfd of the recorded process, which becomes readable when it ends; None if it has ended."""
    try:
        pidfd = os.pidfd_open(record.pid)
    except ProcessLookupError:
        return None
    # The id may have been reused before it was opened, but not after.
    if record.alive:
        return pidfd
    os.close(pidfd)
    return None


def listeners() -> dict[int, str]:
    """Return the inode of the listening socket of every TCP port that is taken on this machine."""
    taken: dict[int, str] = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTEN:
                taken[int(words[1].rpartition(":")[2], 16)] = words[9]
    return taken


def holder(inode: str) -> tuple[int, str] | None:
    """Return the process id and command line of a process that has the socket `inode` open."""
    for folder in Path("/proc").glob("[0-9]*"):
        for link in _descriptors(folder):
            if link == f"socket:[{inode}]":
                return int(folder.name), command_line(int(folder.name))
    return None


def command_line(pid: int) -> str:
    """Return the command line of `pid`, or "" if it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def accepts(path: str, timeout: float) -> bool:
    """Tell whether something accepts connections on the Unix socket `path`."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout)
        return client.connect_ex(path) == 0


def _descriptors(folder: Path) -> Iterator[str]:
    try:
        links = list((folder / "fd").iterdir())
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return
    for link in links:
        try:
            yield str(link.readlink())
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
