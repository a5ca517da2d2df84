"""One cache outside the clone, keyed by content: what has been built once is never built again.

An entry is a directory `ROOT/KIND/NAME-KEY`. It is built beside its place and renamed into it when complete, so an
interrupted build leaves nothing that could be mistaken for a result. A seal records each file's size and modification time;
an entry that no longer matches its seal is built anew.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from local.problem import Problem

ROOT = Path(
    os.environ.get("PLATFORM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "platform"
)
_SEAL = ".seal.json"
_IGNORED = {"__pycache__", ".pytest_cache", ".ruff_cache"}


def key(*parts: str | bytes | Path) -> str:
    """Return 16 hex digits that change with any of the strings, or with the content of any of the files and folders."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            for file in _files(part):
                name = file.relative_to(part) if part.is_dir() else file.name
                digest.update(f"{name}\0{file.stat().st_mode & 0o111:o}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
        else:
            data = part.encode() if isinstance(part, str) else part
            digest.update(f"{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


def entry(kind: str, name: str, content: str, build: Callable[[Path], None]) -> Path:
    """Return the entry `ROOT/kind/name-content`, calling `build` with an empty directory to fill if it is not there.

    Two processes that want the same entry take turns. Raises whatever `build` raises; a full disk is a Problem that
    says so.
    """
    place = ROOT / kind / f"{name}-{content}"
    with locked(place):
        if _intact(place):
            return place
        partial = place.with_name(f".{place.name}.partial")
        for leftover in (partial, place):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            build(partial)
            _seal(partial)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            shutil.rmtree(partial, ignore_errors=True)
            raise Problem(
                f"{place}: the disk is full; free some space under {ROOT} and run the command again"
            ) from error
        partial.rename(place)
    return place


def has(kind: str, name: str, content: str) -> bool:
    """Tell whether the entry is there and intact, building nothing."""
    return _intact(ROOT / kind / f"{name}-{content}")


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        return [root]
    return sorted(
        file for file in root.rglob("*") if file.is_file() and not _IGNORED.intersection(file.relative_to(root).parts)
    )


def _fingerprint(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def _seal(directory: Path) -> None:
    seal = {str(file.relative_to(directory)): _fingerprint(file) for file in _sealed(directory)}
    (directory / _SEAL).write_text(json.dumps(seal))


def _sealed(directory: Path) -> Iterator[Path]:
    return (file for file in directory.rglob("*") if file.is_file() and not file.is_symlink() and file.name != _SEAL)


def _intact(place: Path) -> bool:
    try:
        seal: dict[str, list[int]] = json.loads((place / _SEAL).read_text())
        return all(_fingerprint(place / name) == recorded for name, recorded in seal.items())
    except (OSError, ValueError):
        return False


@contextmanager
def locked(place: Path) -> Generator[None]:
    """Keep other processes from building `place` at the same time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f".{place.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
