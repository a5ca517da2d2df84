"""What an interrupted run left behind, put right.

A run that was killed leaves a lock, and perhaps operations of which nobody knows whether they were done. The engine asks a
person about both. Here the answers can be found: the process that held the lock is gone, and what it was creating is either an
object of a given name, which the next run creates over itself, or an object whose name was made up for it, which nothing will
ever refer to again and which is removed.
"""

import json
import os
import select
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.problem import Problem

_AUTONAMED = "pulumi.com/autonamed"
_TIDY_SECONDS = 20.0


@dataclass(frozen=True)
class Orphan:
    """A Kubernetes object that the interrupted run was creating under a name of its own making."""

    kind: str
    name: str
    namespace: str


@dataclass(frozen=True)
class Interrupted:
    """What was in flight: the URNs of the resources, and the orphans among them, whether they came to be or not."""

    urns: list[str]
    orphans: list[Orphan]


def dead_lock(backend: Path, project: str, stack: str) -> str | None:
    """Return a description of the lock that a process of this machine left when it died, or None if there is no lock.

    A run that has just been interrupted is given the time it needs to tidy up. Raises Problem if whoever holds the lock may
    still be at work after that.
    """
    described = None
    for file in sorted((backend / ".pulumi" / "locks").rglob(f"{project}/{stack}/*.json")):
        lock = _load(file)
        if not lock:
            continue
        process, since = int(lock.get("pid", 0)), str(lock.get("timestamp", "?"))[:19]
        if lock.get("hostname") != socket.gethostname():
            raise Problem(
                f"stack {stack} is locked by {lock.get('username')}@{lock.get('hostname')} since {since}. "
                f"Wait for that run; if it is known to have died, `pulumi cancel --stack {stack}`"
            )
        if not _ends(process):
            raise Problem(
                f"stack {stack} is being changed by process {process} since {since}. Wait for it, or end it with `kill {process}`"
            )
        if file.exists():
            described = f"the run of {since} (process {process}) died without unlocking the stack"
    return described


def interrupted(backend: Path, project: str, stack: str) -> Interrupted | None:
    """Return what was in flight when the last run was killed, or None if nothing was."""
    state = _load(backend / ".pulumi" / "stacks" / project / f"{stack}.json")
    latest: dict[str, Any] = state.get("checkpoint", {}).get("latest") or {}
    pending: list[dict[str, Any]] = latest.get("pending_operations") or []
    creating: list[dict[str, Any]] = [operation["resource"] for operation in pending if operation["type"] == "creating"]
    orphans = [orphan for resource in creating if (orphan := _orphan(resource))]
    return Interrupted([operation["resource"]["urn"] for operation in pending], orphans) if pending else None


def _orphan(resource: dict[str, Any]) -> Orphan | None:
    inputs: dict[str, Any] = resource.get("inputs") or {}
    metadata: dict[str, Any] = inputs.get("metadata") or {}
    annotations: dict[str, Any] = metadata.get("annotations") or {}
    made_up = annotations.get(_AUTONAMED) == "true"
    if not resource["type"].startswith("kubernetes:") or not made_up:
        return None
    group, _, version = str(inputs["apiVersion"]).rpartition("/")
    kind = f"{inputs['kind']}.{version}.{group}" if group else str(inputs["kind"])
    return Orphan(kind, str(metadata["name"]), str(metadata.get("namespace") or ""))


def _load(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}  # unlocked, or never brought up
    except ValueError:
        return {"hostname": socket.gethostname()}  # a lock whose writer died while writing it


def _ends(process: int) -> bool:
    """Tell whether the process is gone, or is not a `pulumi` because its number was given to another, or goes soon."""
    try:
        if "pulumi" not in Path(f"/proc/{process}/comm").read_text():
            return True
        descriptor = os.pidfd_open(process)
    except OSError:
        return True
    try:
        return bool(select.select([descriptor], [], [], _TIDY_SECONDS)[0])
    finally:
        os.close(descriptor)
