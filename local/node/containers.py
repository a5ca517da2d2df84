"""Containerd from outside: load images into it; and what must go when the node goes: containers, mounts, cgroups."""

import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from local.command import output
from local.node import before, procfs
from local.node.layout import CONTAINERD_SOCKET, RUN, STATE
from local.problem import Problem

_KILL_TIMEOUT = 20.0


def references() -> set[str]:
    """Return the references of the images that the node has."""
    listed = output(["ctr", "--address", CONTAINERD_SOCKET, "--namespace", "k8s.io", "images", "list", "-q"])
    return set(listed.split())


def snapshotter(folder: Path) -> str:
    """Return "overlayfs" if the file system of `folder` can carry it, else "native" (slower and larger)."""
    trial = folder / ".overlay-trial"
    lower, upper, work, merged = (trial / name for name in ("lower", "upper", "work", "merged"))
    for place in (lower, upper, work, merged):
        place.mkdir(parents=True, exist_ok=True)
    try:
        output(["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}", "overlay", merged])
    except Problem:
        return "native"
    else:
        output(["umount", merged])
        return "overlayfs"
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def remove() -> None:
    """Kill every container and its shim, undo every mount, delete the cgroups and the pods' logs."""
    _kill(list(_contained()))
    _kill(list(_shims()))
    for mount in sorted(_mounts(), key=len, reverse=True):
        try:
            output(["umount", mount])
        except Problem:
            # Still open somewhere: out of sight at once, gone when it is closed.
            output(["umount", "--lazy", mount])
    for device in Path("/sys/block").glob("loop*"):
        backing = device / "loop" / "backing_file"
        if backing.exists() and backing.read_text().startswith(f"{STATE}/"):
            output(["losetup", "--detach", f"/dev/{device.name}"])
    for group in sorted(_groups(), key=lambda path: len(path.parts), reverse=True):
        group.rmdir()
    before.clean_folders()


def _groups() -> Iterator[Path]:
    """Yield the pods' cgroups in every hierarchy."""
    for top in (Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").glob("*")):
        root = top / "kubepods"
        if root.is_dir():
            yield root
            yield from (path for path in root.rglob("*") if path.is_dir())


def _contained() -> Iterator[int]:
    for group in _groups():
        yield from (int(pid) for pid in (group / "cgroup.procs").read_text().split())


def _shims() -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        line = procfs.command_line(int(folder.name))
        if "containerd-shim" in line.partition(" ")[0] and f"-address {CONTAINERD_SOCKET}" in line:
            yield int(folder.name)


def _kill(pids: Sequence[int]) -> None:
    records = [procfs.Record(pid, started, "") for pid in set(pids) if (started := procfs.start_time(pid)) is not None]
    for record in records:
        pidfd = procfs.open_process(record)
        if pidfd is not None:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    deadline = time.monotonic() + _KILL_TIMEOUT
    while left := [record.pid for record in records if record.alive]:
        if time.monotonic() > deadline:
            raise Problem(f"processes {left} do not end although killed; `down` again once the machine lets go of them")
        time.sleep(0.05)


def _mounts() -> list[str]:
    places = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [place.replace("\\040", " ") for place in places if place.startswith((f"{STATE}/", f"{RUN}/"))]
