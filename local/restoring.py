"""`make restore`: the database, in place, as it was at a moment; nothing is changed before it is known that it can be done."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from local.database import NAME, Cluster
from local.problem import Problem

_RUNBOOK = "docs/runbooks/postgres-restore.md"
_HOURS, _START_SECONDS, _STOP_SECONDS = 12, 300.0, 300.0
_NEWEST = "newest"
# What the servers agree through besides their configuration: who leads, who follows in step.
_AGREED = ("leader", "sync", "failover", "failsafe")


def restore(cluster: Cluster, to: str, say: Callable[[str], None] = print) -> None:
    """Bring the database back to a moment, or to the newest there is, and take a full backup of what it is then.

    Raises Problem, with nothing changed, if the moment is none, has not been yet, or is before the first backup.
    """
    target = moment(to)
    began = time.monotonic()
    before, instances = _asked_before(cluster)
    # Higher than any that a volume remembers, that of a snapshot from before or after too, whatever became of the ConfigMap.
    number = max(before + 1, int(time.time()))
    _reachable(cluster, target)
    _archive_all(cluster, say)
    say(f"restore {number}: to {to}; the servers stop, and start with nothing")
    _ask(cluster, number, target, instances)
    _stop(cluster)
    cluster.run("scale", f"statefulset/{NAME}", f"--replicas={instances}")
    primary = _await_primary(cluster)
    say(
        f"{primary} serves after {time.monotonic() - began:.0f} s, with the data of {_describe(cluster, primary, target)}"
    )
    # Done: a server that loses its volume later is not to go back to that moment again.
    _ask(cluster, number, None, instances)
    _logins(cluster, number)
    # The older backups lead to the timeline that was left: without one of the new one, there is no way back to it.
    job = f"{NAME}-backup-after-restore-{number}"
    cluster.run("create", "job", job, f"--from=cronjob/{NAME}-backup-full")
    _await_job(cluster, job)
    for pod in cluster.pods():
        cluster.inside(pod, "rm", "-rf", "/data/pgdata.before")
    say(f"restored, and backed up as it is now, after {time.monotonic() - began:.0f} s")


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
    raise Problem(f"no pod of the database answers, to ask for its backups: {refused}; bring it up first: {_RUNBOOK}")


def _asked_before(cluster: Cluster) -> tuple[int, int]:
    """Return the number of the last restore, and of the servers; those that an interrupted one has left stopped start again."""
    found = cluster.get("configmap", f"{NAME}-restore").get("data", {})
    instances = cluster.get("statefulset", NAME)["spec"]["replicas"]
    if not instances:
        if "instances" not in found:
            raise Problem(f"statefulset {NAME} has no pods, and not for a restore: `make up` brings it up")
        instances = int(found["instances"])
        cluster.run("scale", f"statefulset/{NAME}", f"--replicas={instances}")
        _await_answer(cluster)
    return int(found.get("number", 0)), instances


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


def _ask(cluster: Cluster, number: int, target: datetime | None, instances: int) -> None:
    """Tell the servers that start from now on which restore this is, and to which moment."""
    data = {"number": str(number), "target": str(target) if target else "", "instances": str(instances)}
    text = json.dumps({"data": data})
    if not cluster.get("configmap", f"{NAME}-restore"):
        cluster.run("create", "configmap", f"{NAME}-restore")
    cluster.run("patch", "configmap", f"{NAME}-restore", "--type=merge", f"--patch={text}")


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
    """Stop all servers, and let those that start agree anew; their configuration stays."""
    cluster.run("scale", f"statefulset/{NAME}", "--replicas=0")
    deadline = time.monotonic() + _STOP_SECONDS
    while left := cluster.pods():
        if time.monotonic() > deadline:
            raise Problem(
                f"{', '.join(left)}: not gone after {_STOP_SECONDS:.0f} s; the same command goes on from here"
            )
        time.sleep(1)
    cluster.run("delete", "configmap", *(f"{NAME}-{key}" for key in _AGREED), "--ignore-not-found")
    cluster.run("annotate", "configmap", f"{NAME}-config", "initialize-", "history-")


def _await_primary(cluster: Cluster) -> str:
    """Return the server that leads, once it takes writes; raise Problem as soon as one says that it cannot be restored."""
    deadline = time.monotonic() + _HOURS * 3600
    while time.monotonic() < deadline:
        for pod in cluster.pods("role=primary"):
            try:
                if cluster.sql(pod, "SELECT pg_is_in_recovery()") == "f":
                    return pod
            except Problem:
                continue  # it does not take connections yet
        for pod in cluster.pods():
            said = cluster.log(pod)
            wrong = [line for line in said if line.startswith("error: ") or "recovery ended before configured" in line]
            if wrong:
                raise Problem(f"{pod}: {wrong[-1]}; it goes on trying. What to do: {_RUNBOOK}")
        time.sleep(2)
    raise Problem(f"no server leads after {_HOURS} hours; see their logs")


def _describe(cluster: Cluster, primary: str, target: datetime | None) -> str:
    if target:
        return target.isoformat()
    written = cluster.sql(primary, "SELECT max(written_at) FROM platform.sentinels")
    return f"the newest moment in the archive; the last row that restores are checked by is of {written}"


def _logins(cluster: Cluster, number: int) -> None:
    """Give the roles today's passwords, which may not be those of then: run the stack's own Job once more."""
    jobs = cluster.get("jobs", f"--selector=app.kubernetes.io/name={NAME}-logins").get("items", [])
    if not jobs:
        raise Problem(
            f"there is no job {NAME}-logins to give the roles their passwords: run `make up`, then this again"
        )
    newest = max(jobs, key=lambda job: job["metadata"]["creationTimestamp"])
    template = newest["spec"]["template"]
    # The API server's own labels tie pods to the Job that was.
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key.startswith("app.")}
    name = f"{NAME}-logins-after-restore-{number}"
    again = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "backoffLimit": newest["spec"]["backoffLimit"],
            "ttlSecondsAfterFinished": 3600,
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }
    cluster.run("create", "--filename=-", stdin=json.dumps(again))
    _await_job(cluster, name)


def _await_job(cluster: Cluster, name: str) -> None:
    deadline = time.monotonic() + _HOURS * 3600
    while time.monotonic() < deadline:
        conditions = cluster.get("job", name).get("status", {}).get("conditions", [])
        ended = {condition["type"] for condition in conditions if condition["status"] == "True"}
        if "Complete" in ended:
            return
        if "Failed" in ended:
            raise Problem(f"job {name} failed: {cluster.run('logs', f'job/{name}', '--tail=5')}; see {_RUNBOOK}")
        time.sleep(2)
    raise Problem(f"job {name} has not ended within {_HOURS} hours")
