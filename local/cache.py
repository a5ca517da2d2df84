"""One cache outside the clone, keyed by content: what has been built once is never built again.

An entry is a directory `ROOT/KIND/NAME-KEY`. It is built beside its place and renamed into it when complete, so an
interrupted build leaves nothing that could be mistaken for a result. A seal records each file's size and modification time;
an entry that no longer matches its seal is said to be damaged and built anew.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from local.problem import Problem

ROOT = Path(
    os.environ.get("PLATFORM_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "platform"
)
_SEAL = ".seal.json"
_LEAST_BYTES = 1024**2
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

    Two processes that want the same entry take turns. Raises whatever `build` raises, after removing what it made; a full
    disk is a Problem that says so.
    """
    place = ROOT / kind / f"{name}-{content}"
    with locked(place):
        if _intact(place):
            return place
        if place.exists():
            print(f"{place}: damaged, no longer what was built; building it again", file=sys.stderr, flush=True)
            shutil.rmtree(place)
        partial = place.with_name(f".{place.name}.partial")
        with making(partial):
            partial.mkdir()
            build(partial)
            _seal(partial)
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


def _fingerprints(directory: Path) -> dict[str, list[int]]:
    files = (file for file in directory.rglob("*") if file.is_file() and not file.is_symlink() and file.name != _SEAL)
    return {str(file.relative_to(directory)): _fingerprint(file) for file in files}


def _seal(directory: Path) -> None:
    (directory / _SEAL).write_text(json.dumps(_fingerprints(directory)))


def _intact(place: Path) -> bool:
    try:
        return json.loads((place / _SEAL).read_text()) == _fingerprints(place)
    except (OSError, ValueError):
        return False


@contextmanager
def locked(place: Path) -> Generator[None]:
    """Keep other processes from building `place` at the same time."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = place.with_name(f".{place.name}.lock").open("w")
    except OSError as error:
        if _is_full(error, ROOT):
            raise _full(place.parent) from error
        raise Problem(
            f"{error.filename}: {error.strerror}; make it writable, or name another folder with PLATFORM_CACHE"
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


@contextmanager
def making(partial: Path) -> Generator[None]:
    """Remove what an earlier build left of `partial`, and what this one leaves if it fails; a full disk is a Problem."""
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield
    except BaseException as error:
        full = isinstance(error, OSError | Problem) and _is_full(error, partial.parent)
        shutil.rmtree(partial, ignore_errors=True)
        if full:
            raise _full(partial.parent) from error
        raise


def _is_full(error: OSError | Problem, directory: Path) -> bool:
    """Tell whether a full disk is why: a program that could not even write that to its log says nothing of it."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "no space left on device" in str(error).lower() or shutil.disk_usage(directory).free < _LEAST_BYTES


def _full(directory: Path) -> Problem:
    return Problem(
        f"{directory}: the disk is full; free some space there, or name another folder with PLATFORM_CACHE, "
        "and run the command again"
    )
