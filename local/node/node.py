"""The verbs of the node. Each can be run again after any interruption."""

import fcntl
import ipaddress
import json
import os
import shutil
import time
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.images import Image, load
from local.node import addons, before, config, containers, network, pki, preflight, readiness, supervisor
from local.node.cluster import Cluster
from local.node.daemon import Daemon
from local.node.layout import (
    BEFORE,
    CONTAINERD_SOCKET,
    KUBECONFIG,
    KUBELET,
    LOGS,
    PKI,
    PROCESSES,
    RUN,
    STATE,
    VOLUMES,
    Say,
)
from local.node.processes import table
from local.node.report import Statement
from local.problem import Problem

_READY_TIMEOUT = 180.0
_STOP_TIMEOUT = 45.0
_DAEMON = Daemon(run=RUN, processes=PROCESSES, logs=LOGS, authority=PKI / "ca.crt")


def up(binaries: Path, images: Sequence[Image], say: Say) -> None:
    """Bring the node up, or repair it, and return when it is ready; raise a Problem that says what is wrong.

    Run on a node that is up, it changes nothing.
    """
    started = time.monotonic()
    processes = table(binaries, _DAEMON.guard)
    preflight.check()
    preflight.programs(processes, binaries)
    references = {name: _reference(images, name) for name in (addons.COREDNS, addons.METRICS_SERVER)}
    with _locked():
        say("checking the node" if KUBECONFIG.exists() else "starting the node")
        before.remember()
        network.prepare()
        pki.issue(PKI)
        resolvers = nameservers(Path("/etc/resolv.conf").read_text())
        config.write(_snapshotter(), resolvers)
        for folder in (RUN, LOGS, KUBELET / "plugins_registry", VOLUMES, CONTAINERD_SOCKET.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        digest = _DAEMON.apply(processes)
        _DAEMON.wait(digest, _READY_TIMEOUT, ("containerd",))
        # What the node itself runs comes first; while that starts, which is mostly waiting, there is time for the others.
        own = [image for image in images if image.reference.startswith(addons.REGISTRY)]
        load(own, CONTAINERD_SOCKET, say=say)
        with ThreadPoolExecutor(max_workers=1) as beside:
            others = beside.submit(load, [image for image in images if image not in own], CONTAINERD_SOCKET, say=say)
            _DAEMON.wait(digest, _READY_TIMEOUT, ("kube-apiserver",))
            cluster = Cluster(binaries)
            # Before the other processes are waited for: they need the rights and the resource types that are applied here.
            addons.apply(cluster, references, resolvers, binaries)
            _DAEMON.wait(digest, _READY_TIMEOUT)
            say(f"processes are ready after {time.monotonic() - started:.1f} s")
            readiness.wait(cluster, _READY_TIMEOUT)
            others.result()
        say(f"the node is ready after {time.monotonic() - started:.1f} s: {KUBECONFIG}")


def down(say: Say) -> None:
    """Stop the node and delete everything it has made, its volumes included; the machine is left as it was."""
    if os.geteuid() != 0:
        raise Problem("stopping the one-node Kubernetes needs root: run the command with sudo")
    if not STATE.exists():
        say("there is no node")
        return
    with _locked():
        started = time.monotonic()
        say("stopping the node and deleting its data")
        _DAEMON.stop(_STOP_TIMEOUT)
        containers.remove()
        network.remove()
        shutil.rmtree(RUN, ignore_errors=True)
        # What was noted about the machine goes last: until then `down` can be run again.
        for entry in STATE.iterdir():
            if entry.name != BEFORE.name:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.rmtree(STATE)
        say(f"the node is gone after {time.monotonic() - started:.1f} s")


def status(say: Say = print) -> list[str]:
    """Print one line for each process and for what the cluster needs; return what is wrong, empty if nothing is."""
    if not STATE.exists():
        say("there is no node")
        return ["there is no node: `make up` starts one"]
    said = Statement.read(RUN)
    problems: list[str] = []
    keeper = supervisor.running(RUN)
    lines = [("supervisor", keeper.pid if keeper else 0, "" if keeper else "it is dead: `make up` starts it again")]
    for report in said.reports:
        # The supervisor's word is checked: it may be dead itself.
        problem = report.problem if report.alive or report.problem else "it is dead"
        lines.append((report.name, report.pid, problem or ("" if report.state == "ready" else report.state)))
    for name, pid, problem in lines:
        say(f"{name:<24} {pid or '-':>8} {problem or 'ready'}")
        if problem:
            problems.append(f"{name}: {problem}")
    if not problems:
        problems = readiness.complaints(Cluster(_binaries()))
        for problem in problems:
            say(problem)
    return problems


def logs(component: str, say: Say = print, lines: int = 200) -> None:
    """Print the last lines of a process's log."""
    names = sorted(file.stem for file in LOGS.glob("*.log"))
    if component not in names:
        raise Problem(
            f"{component}: no such component; there are: {', '.join(names) or 'none, the node has not been started'}"
        )
    file = LOGS / f"{component}.log"
    for line in file.read_text(errors="replace").splitlines()[-lines:]:
        say(line)


def _reference(images: Sequence[Image], name: str) -> str:
    found = next((image.reference for image in images if image.reference.startswith(f"{name}:")), None)
    if found is None:
        raise Problem(f"{name}: no such image among those built; the node runs it: add it to the images")
    return found


def _binaries() -> Path:
    """Return the folder of programs that the node was started with."""
    processes: list[dict[str, Any]] = json.loads(PROCESSES.read_text())["processes"]
    return next(Path(process["command"][0]).parent for process in processes if process["name"] == "kube-apiserver")


def _snapshotter() -> str:
    """Return the snapshotter; once chosen it stays, because images live in it."""
    chosen = STATE / "snapshotter"
    if not chosen.exists():
        pki.write_private(chosen, containers.snapshotter(STATE))
    return chosen.read_text()


def nameservers(resolv_conf: str) -> tuple[str, ...]:
    """Return the machine's resolvers that a pod can ask: one on loopback is the pod's own loopback there."""
    words = [line.split() for line in resolv_conf.splitlines()]
    named = [word[1].partition("%")[0] for word in words if len(word) > 1 and word[0] == "nameserver"]
    return tuple(address for address in named if not ipaddress.ip_address(address).is_loopback)


@contextmanager
def _locked() -> Generator[None]:
    """Let one `up` or `down` work at a time. The lock is on the folder itself, so that it goes with it."""
    while True:
        STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(STATE, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Another `down` may have deleted the folder while this one waited.
            if STATE.exists() and os.fstat(descriptor).st_ino == STATE.stat().st_ino:
                yield
                return
        finally:
            os.close(descriptor)
