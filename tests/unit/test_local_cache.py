"""What has been built once is not built again; what was interrupted, damaged or did not fit is."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local import cache
from local.problem import Problem
from tests.processes import eventually
from tests.render import ROOT

pytestmark = pytest.mark.usefixtures("root")

KIND, NAME, CONTENT = "tools", "toy", "0123456789abcdef"


@pytest.fixture
def built() -> list[Path]:
    """Return the directories that `obtain` has filled."""
    return []


@pytest.fixture
def obtain(built: list[Path]) -> Callable[[], Path]:
    """Return a function that asks for the entry, and fills it with two files if it is not there."""

    def fill(directory: Path) -> None:
        built.append(directory)
        assert list(directory.iterdir()) == []
        (directory / "inner").mkdir()
        (directory / "inner" / "data").write_text("data\n")
        (directory / "program").write_text("#!/bin/sh\n")

    return lambda: cache.entry(KIND, NAME, CONTENT, fill)


def child(code: str, place: Path, *before: str) -> subprocess.Popen[str]:
    """Start a Python process on the cache at `place`; with `before`, under that command."""
    return subprocess.Popen(
        [*before, sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PLATFORM_CACHE": str(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def leftovers(place: Path) -> list[str]:
    """Return what lies in the kind's folder, but for locks."""
    return sorted(file.name for file in (place / KIND).iterdir() if not file.name.endswith(".lock"))


def waits_for_a_lock(pid: int) -> bool:
    """Tell whether the process waits for a lock that another holds."""
    return any(
        words[1] == "->" and words[5] == str(pid)
        for words in (line.split() for line in Path("/proc/locks").read_text().splitlines())
    )


def test_an_entry_is_built_once(obtain: Callable[[], Path], built: list[Path], root: Path) -> None:
    assert not cache.has(KIND, NAME, CONTENT)
    place = obtain()
    assert place == root / KIND / f"{NAME}-{CONTENT}"
    assert obtain() == place
    assert len(built) == 1
    assert cache.has(KIND, NAME, CONTENT)
    assert leftovers(root) == [place.name]


def test_a_build_that_fails_leaves_nothing_and_is_raised(root: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("half")
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        cache.entry(KIND, NAME, CONTENT, fail)
    assert leftovers(root) == []


_BUILDS_UNTIL_KILLED = f"""
import sys
from pathlib import Path
from local import cache

def fill(directory: Path) -> None:
    (directory / "program").write_text("half")
    print("half", flush=True)
    sys.stdin.read()

cache.entry("{KIND}", "{NAME}", "{CONTENT}", fill)
"""


def test_a_build_that_is_killed_leaves_no_result_and_the_next_run_completes(
    obtain: Callable[[], Path], built: list[Path], root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with child(_BUILDS_UNTIL_KILLED, root) as builder:
        assert builder.stdout
        assert builder.stdout.readline() == "half\n"
        builder.kill()
    assert builder.returncode == -signal.SIGKILL
    assert not cache.has(KIND, NAME, CONTENT)
    place = obtain()
    assert (place / "program").read_text() == "#!/bin/sh\n"
    assert len(built) == 1
    assert leftovers(root) == [place.name]
    assert "damaged" not in capfd.readouterr().err


def _truncate(place: Path) -> None:
    os.truncate(place / "program", 3)


def _change(place: Path) -> None:
    file = place / "program"
    built = file.stat()
    file.write_text("#!/bin/no\n")
    os.utime(file, ns=(built.st_atime_ns, built.st_mtime_ns + 1))
    assert file.stat().st_size == built.st_size


def _delete(place: Path) -> None:
    (place / "inner" / "data").unlink()


def _add(place: Path) -> None:
    (place / "inner" / "more").touch()


def _delete_seal(place: Path) -> None:
    (place / ".seal.json").unlink()


def _cut_seal(place: Path) -> None:
    os.truncate(place / ".seal.json", 10)


def _empty_seal(place: Path) -> None:
    (place / ".seal.json").write_text("{}")


def _foreign_seal(place: Path) -> None:
    (place / ".seal.json").write_text(json.dumps(["program"]))


@pytest.mark.parametrize(
    "damage", [_truncate, _change, _delete, _add, _delete_seal, _cut_seal, _empty_seal, _foreign_seal]
)
def test_a_damaged_entry_is_said_to_be_and_built_again(
    obtain: Callable[[], Path],
    built: list[Path],
    root: Path,
    capfd: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    place = obtain()
    assert capfd.readouterr().err == ""
    damage(place)
    assert not cache.has(KIND, NAME, CONTENT)
    assert obtain() == place
    assert len(built) == 2
    assert capfd.readouterr().err == f"{place}: damaged, no longer what was built; building it again\n"
    assert (place / "program").read_text() == "#!/bin/sh\n"
    assert (place / "inner" / "data").read_text() == "data\n"
    assert leftovers(root) == [place.name]
    assert cache.has(KIND, NAME, CONTENT)


_BUILDS_WHEN_TOLD = f"""
import sys
from pathlib import Path
from local import cache

def fill(directory: Path) -> None:
    print("building", flush=True)
    sys.stdin.readline()
    (directory / "program").write_text("whole")

print("asking", flush=True)
place = cache.entry("{KIND}", "{NAME}", "{CONTENT}", fill)
print((place / "program").read_text(), flush=True)
"""


def test_two_processes_that_want_one_entry_build_it_once(root: Path) -> None:
    with child(_BUILDS_WHEN_TOLD, root) as first:
        assert first.stdout
        assert [first.stdout.readline() for _ in range(2)] == ["asking\n", "building\n"]
        with child(_BUILDS_WHEN_TOLD, root) as second:
            assert second.stdout
            assert second.stdout.readline() == "asking\n"
            eventually(lambda: waits_for_a_lock(second.pid), "the second process waits for the first")
            first_said, first_error = first.communicate("go on\n", timeout=30)
            second_said, second_error = second.communicate("go on\n", timeout=30)
    assert (first_said, first_error) == ("whole\n", "")
    assert (second_said, second_error) == ("whole\n", "")


# In a mount namespace of its own: nothing is left mounted, however the test ends.
_FULL_DISK = (
    "unshare",
    "--mount",
    *(() if os.geteuid() == 0 else ("--map-root-user",)),
    "sh",
    "-c",
    'mount -t tmpfs -o size=2m none "$PLATFORM_CACHE" && exec "$@"',
    "sh",
)
_FILLS = f"""
import json
from pathlib import Path
from local import cache
from local.command import run
from local.problem import Problem

def listed() -> list[str]:
    return sorted(file.name for file in (cache.ROOT / "{KIND}").iterdir() if not file.name.endswith(".lock"))

def own(directory: Path) -> None:
    with (directory / "program").open("wb") as file:
        for _ in range(4):
            file.write(bytes(2**20))

def programs(directory: Path) -> None:
    run(["dd", "if=/dev/zero", f"of={{directory}}/program", "bs=64k", "count=64"], log=cache.ROOT / "logs" / "toy.log")

def small(directory: Path) -> None:
    (directory / "program").write_text("whole")

said = []
for fill in (own, programs, small):
    try:
        said.append(str(cache.entry("{KIND}", "{NAME}", "{CONTENT}", fill)))
    except Problem as problem:
        said.append(str(problem))
    said.append(listed())
print(json.dumps(said))
"""


def test_a_full_disk_is_said_leaves_nothing_and_the_next_run_completes(root: Path) -> None:
    root.mkdir()
    with child(_FILLS, root, *_FULL_DISK) as filler:
        printed, error = filler.communicate(timeout=30)
    assert filler.returncode == 0, error
    full = (
        f"{root}/{KIND}: the disk is full; free some space there, or name another folder with PLATFORM_CACHE, "
        "and run the command again"
    )
    whole = f"{NAME}-{CONTENT}"
    assert json.loads(printed) == [full, [], full, [], f"{root}/{KIND}/{whole}", [whole]]
    assert list(root.iterdir()) == [], "the test's own file system did not stand between"


def test_a_disk_too_full_for_a_lock_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(root))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(Problem, match=f"^{root}/{KIND}: the disk is full; "):
        cache.entry(KIND, NAME, CONTENT, lambda _: None)


def test_a_cache_that_cannot_be_written_is_named_with_the_fix(root: Path) -> None:
    root.write_text("a file")
    with pytest.raises(Problem, match=rf"^{root}.*: (Not a directory|File exists); .*PLATFORM_CACHE"):
        cache.entry(KIND, NAME, CONTENT, lambda _: None)


def test_a_failing_build_on_a_disk_with_room_is_not_taken_for_a_full_disk(root: Path) -> None:
    def fail(_directory: Path) -> None:
        raise Problem("main.go:1: syntax error")

    with pytest.raises(Problem, match=r"^main\.go:1: syntax error$"):
        cache.entry(KIND, NAME, CONTENT, fail)
    assert leftovers(root) == []


def test_a_key_changes_with_content_names_and_rights_and_with_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "inner").mkdir(parents=True)
    (source / "inner" / "main.go").write_text("package main\n")
    first = cache.key("go1.25", source)
    keys = {first}

    def changed() -> bool:
        keys.add(now := cache.key("go1.25", source))
        return now != first

    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "main.pyc").touch()
    os.utime(source / "inner" / "main.go", (1, 1))
    assert not changed()
    assert cache.key("go1.26", source) != first
    assert cache.key("go1.2", "5", source) != first
    (source / "inner" / "main.go").chmod(0o755)
    assert changed()
    (source / "inner" / "main.go").rename(source / "inner" / "other.go")
    assert changed()
    (source / "inner" / "other.go").write_text("package other\n")
    assert changed()
    assert len(keys) == 4
