"""What must be true of the machine before the node changes anything: each failure is a Problem that names the fix."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from local.command import output
from local.node import network, procfs
from local.node.daemon import wait_for
from local.node.layout import BEFORE, DEBIAN_PACKAGES, PORTS, RUN, STATE
from local.node.processes import PATH, Process
from local.node.procfs import Record
from local.problem import Problem

_FREE_BYTES = 3 * 1024**3
_CNI = ("bridge", "host-local", "loopback", "portmap")
# Program or CNI plugin, and the Debian package it comes from.
_PROGRAMS = {
    "conntrack": "conntrack",
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "ipset": "ipset",
    "iptables-restore": "iptables",
    "iptables-save": "iptables",
    "losetup": "mount",
    "mkfs.xfs": "xfsprogs",
    "mount": "mount",
    "openssl": "openssl",
    "runc": "runc",
    **{f"/usr/lib/cni/{plugin}": "containernetworking-plugins" for plugin in _CNI},
}
_DYING_TIMEOUT = 5.0
_CONTROLLERS = ("cpu", "memory", "pids")
_ELSEWHERE = "or use another cluster: make up CONTEXT=NAME"


def check() -> None:
    """Raise a Problem if the node cannot run on this machine. It asks for no program and changes nothing."""
    if os.geteuid() != 0:
        raise Problem(f"the one-node Kubernetes needs root: run the command with sudo, {_ELSEWHERE}")
    ports(PORTS)
    if not BEFORE.exists():
        _room()
        _routes(Path("/proc/net/route").read_text())
    _kernel()


def programs(processes: Sequence[Process], binaries: Path) -> None:
    """Raise a Problem if a program that the node runs is missing, or does not work with this kernel."""
    missing = sorted({package for program, package in _PROGRAMS.items() if not shutil.which(program, path=PATH)})
    if missing:
        raise Problem(
            f"missing Debian packages: apt-get install --no-install-recommends {' '.join(missing)}"
            f" (the node needs {' '.join(DEBIAN_PACKAGES)})"
        )
    for program in [*(process.command[0] for process in processes), str(binaries / "kubectl")]:
        if not os.access(program, os.X_OK):
            raise Problem(f"missing program {program}: run `make up` again, which builds what is missing")
    for command in (["ipset", "list", "-name"], ["iptables-save", "-t", "nat"]):
        try:
            output(command)
        except Problem as problem:
            raise Problem(f"the kernel lacks what Services and NetworkPolicy need ({problem}): {_ELSEWHERE}") from None


def ports(wanted: Mapping[str, Iterable[int]]) -> None:
    """Raise a Problem that names the first port in `wanted` that something else holds, and what holds it."""
    taken = procfs.listeners()
    for name, numbers in wanted.items():
        if Record.read(RUN / "processes" / f"{name}.json"):
            continue
        for port in taken.keys() & set(numbers):
            if held := _holder(port):
                raise Problem(f"port {port}, which {name} needs, is in use by {held}: stop it, {_ELSEWHERE}")


def _holder(port: int) -> str:
    """Return what holds a port, or "" if nothing does. A process that is just being killed is waited for."""

    def settled() -> bool:
        inode = procfs.listeners().get(port)
        return inode is None or procfs.holder(inode) is not None

    wait_for(settled, _DYING_TIMEOUT)
    inode = procfs.listeners().get(port)
    if inode is None:
        return ""
    pid, command = procfs.holder(inode) or (0, "not to be seen from here")
    return f"process {pid} ({command})"


def _kernel() -> None:
    for feature, module, file in (
        ("filtering of bridged packets", "br_netfilter", Path("/proc/sys/net/bridge/bridge-nf-call-iptables")),
        ("connection tracking", "nf_conntrack", Path("/proc/sys/net/netfilter/nf_conntrack_max")),
    ):
        if not file.exists() and not _load(module, file):
            raise Problem(f"the kernel lacks {feature}: `modprobe {module}` does not provide it; {_ELSEWHERE}")
    missing = [name for name in _CONTROLLERS if name not in _cgroup_controllers()]
    if missing:
        raise Problem(
            f"the kernel's cgroups lack {', '.join(missing)}: boot with cgroup_enable={missing[0]}, {_ELSEWHERE}"
        )


def _load(module: str, file: Path) -> bool:
    try:
        output(["modprobe", module])
    except Problem:
        return False
    return file.exists()


def _cgroup_controllers() -> set[str]:
    unified = Path("/sys/fs/cgroup/cgroup.controllers")
    if unified.exists():
        return set(unified.read_text().split())
    lines = [line.split() for line in Path("/proc/cgroups").read_text().splitlines()[1:]]
    return {words[0] for words in lines if words[3] == "1"}


def _room() -> None:
    place = next(folder for folder in (STATE, *STATE.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES:
        raise Problem(f"{place}: {free >> 20} MiB free, the node needs {_FREE_BYTES >> 20} MiB: free some space")


def _routes(table: str) -> None:
    crossing = network.overlapping(table)
    if crossing:
        raise Problem(f"the route to {crossing} crosses the node's address ranges: remove that network, {_ELSEWHERE}")
