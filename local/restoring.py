"""`make restore`: the database, in place, as it was at a moment; nothing is changed before it is known that it can be done."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from local.database import NAME, Cluster
from local.problem import Problem
from local.restore_jobs import HOURS, RUNBOOK, backup, logins
from local.restore_request import RESTORING, SERVING, STOPPED, STOPPING, Request, ask, asked

_START_SECONDS, _STOP_SECONDS = 300.0, 300.0
_NEWEST = "newest"
# What the servers agree through besides their configuration: who leads, who follows in step.
_AGREED = ("leader", "sync", "failover", "failsafe")


def restore(cluster: Cluster, to: str, say: Callable[[str], None] = print) -> None:
    """Bring the database back to a moment, or to the newest there is, and take a full backup of what it is then.

    Interrupted anywhere, it is run again: what was asked for goes on, and something else begins anew. What the servers had before
    stays aside until the end. Raises Problem, with nothing changed, if the moment is none, has not been yet, or is before the
    first backup.
    """
    target = moment(to)
    began = time.monotonic()
    request = asked(cluster)
    if _goes_on(cluster, request, str(target or _NEWEST)):
        say(f"restore {request.number}: going on with it; it was interrupted")
        _start(cluster, request)
    else:
        request = _begin(cluster, request, target, say)
    primary = _await_primary(cluster)
    say(
        f"{primary} serves after {time.monotonic() - began:.0f} s, with the data of {_describe(cluster, primary, target)}"
    )
    # A server that loses its volume later is not to go back to that moment again.
    request = replace(request, step=SERVING, target="")
    ask(cluster, request)
    logins(cluster, request.number)
    backup(cluster, request.number)
    for pod in cluster.pods():
        cluster.inside(pod, "sh", "-c", "rm -rf /data/pgdata.before*")
    ask(cluster, replace(request, step=""))
    say(f"restored, and backed up as it is now, after {time.monotonic() - began:.0f} s")


def _goes_on(cluster: Cluster, request: Request, to: str) -> bool:
    """Whether to go on with what was interrupted, for what was written since a server serves is nowhere else.

    The newest moment has all of that, so it begins anew where no server leads: perhaps all of them were lost since.
    """
    if request.to != to or request.step not in (STOPPED, RESTORING, SERVING):
        return False
    return to != _NEWEST or bool(_leader(cluster))


def _begin(cluster: Cluster, before: Request, target: datetime | None, say: Callable[[str], None]) -> Request:
    """Stop the servers, and start them with nothing; each step can be told from the one before."""
    instances = cluster.get("statefulset", NAME)["spec"]["replicas"]
    if not instances:
        if not before.step:
            raise Problem(f"statefulset {NAME} has no pods, and not for a restore: `make up` brings it up")
        instances = before.instances
        _start(cluster, before)
        _await_answer(cluster)
    _reachable(cluster, target)
    _archive_all(cluster, say)
    # Higher than any that a volume remembers, that of a snapshot from before or after too, whatever became of the ConfigMap.
    number = max(before.number + 1, int(time.time()))
    request = replace(before, step=STOPPING, to=str(target or _NEWEST), instances=instances)
    say(f"restore {number}: to {request.to}; the servers stop, and start with nothing")
    ask(cluster, request)
    _stop(cluster)
    # Not before they have stopped: one that crashed would put its data aside, and follow one that is about to stop.
    request = replace(request, step=STOPPED, number=number, target=str(target or ""))
    ask(cluster, request)
    _start(cluster, request)
    return replace(request, step=RESTORING)


def _start(cluster: Cluster, request: Request) -> None:
    """Start the servers, if they do not run; those that put their data aside agree anew, and their configuration stays."""
    if request.step == STOPPED:
        cluster.run("delete", "configmap", *(f"{NAME}-{key}" for key in _AGREED), "--ignore-not-found")
        cluster.run("annotate", "configmap", f"{NAME}-config", "initialize-", "history-")
        ask(cluster, replace(request, step=RESTORING))
    if not cluster.get("statefulset", NAME)["spec"]["replicas"]:
        cluster.run("scale", f"statefulset/{NAME}", f"--replicas={request.instances}")


def moment(to: str) -> datetime | None:
    """Return the moment that is meant; None is the newest there is."""
    if to == _NEWEST:
        return None
    example = "as in TO='2026-11-26T01:00:00+00:00', or TO=newest"
    try:
        target = datetime.fromisoformat(to)
    except ValueError:
        raise Problem(f"TO={to}: not a time; {example}") from None
    if target.tzinfo is None:
        raise Problem(f"TO={to}: the time zone is missing; {example}")
    if target > datetime.now(UTC):
        raise Problem(f"TO={to}: has not been yet; now it is {datetime.now(UTC).isoformat(timespec='seconds')}")
    return target.astimezone(UTC)


def _reachable(cluster: Cluster, target: datetime | None) -> None:
    """Raise Problem unless a backup leads to the target."""
    backups = _backups(cluster)
    if not backups:
        raise Problem("there is no backup to restore from")
    # pgBackRest looks for a backup that ended in an earlier second.
    first = datetime.fromtimestamp(backups[0]["timestamp"]["stop"] + 1, UTC)
    if target and target < first:
        raise Problem(f"TO={target.isoformat()}: before the first backup; {first.isoformat()} is the earliest moment")


def _backups(cluster: Cluster) -> list[dict[str, Any]]:
    refused = "there is none"
    for pod in cluster.pods():
        try:
            text = cluster.inside(pod, "backups", "info", "--output=json")
        except Problem as problem:
            refused = str(problem)
            continue
        (stanza,) = json.loads(text, strict=False)
        if stanza["status"]["code"] > 2:
            raise Problem(f"the backups cannot be read: {stanza['repo'][0]['status']['message']}")
        return stanza["backup"]
    raise Problem(f"no pod of the database answers, to ask for its backups: {refused}; bring it up first: {RUNBOOK}")


def _await_answer(cluster: Cluster) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            _backups(cluster)
        except Problem:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def _archive_all(cluster: Cluster, say: Callable[[str], None]) -> None:
    """Have the primary write once more: what it has is archived as it stops, and the log must reach beyond the target."""
    for primary in cluster.pods("role=primary"):
        try:
            cluster.sql(primary, "SELECT platform.add_sentinel()")
        except Problem as problem:
            say(f"{primary} does not take writes; what it had not archived is lost: {problem}")
        else:
            return
    say("no server leads; what was not archived is lost")


def _stop(cluster: Cluster) -> None:
    """Return when no server is left."""
    cluster.run("scale", f"statefulset/{NAME}", "--replicas=0")
    deadline = time.monotonic() + _STOP_SECONDS
    while left := cluster.pods():
        if time.monotonic() > deadline:
            raise Problem(f"{', '.join(left)}: not gone after {_STOP_SECONDS:.0f} s; run the same command again")
        time.sleep(1)


def _await_primary(cluster: Cluster) -> str:
    """Return the server that leads, once it takes writes; raise Problem as soon as one says that it cannot be restored."""
    began = time.monotonic()
    while (waited := time.monotonic() - began) < HOURS * 3600:
        if leader := _leader(cluster):
            return leader
        for pod in cluster.pods():
            # Not what it said before: who goes on may have put that right.
            said = cluster.log(pod, int(waited) + 2)
            wrong = [line for line in said if line.startswith("error: ") or "recovery ended before configured" in line]
            if wrong:
                raise Problem(f"{pod}: {wrong[-1]}; it goes on trying. What to do: {RUNBOOK}")
        time.sleep(2)
    raise Problem(f"no server leads after {HOURS} hours; see their logs")


def _leader(cluster: Cluster) -> str | None:
    """Return the server that leads and takes writes, if there is one."""
    for pod in cluster.pods("role=primary"):
        try:
            if cluster.sql(pod, "SELECT pg_is_in_recovery()") == "f":
                return pod
        except Problem:
            continue  # it does not take connections yet
    return None


def _describe(cluster: Cluster, primary: str, target: datetime | None) -> str:
    if target:
        return target.isoformat()
    written = cluster.sql(primary, "SELECT max(written_at) FROM platform.sentinels")
    return f"the newest moment in the archive; the last row that restores are checked by is of {written}"
