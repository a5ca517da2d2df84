"""The Jobs that complete a restore: today's passwords, and a backup. Each is run once, however often the restore is interrupted."""

import json
import time
from collections.abc import Callable
from typing import Any

from local.database import NAME, Cluster
from local.problem import Problem

RUNBOOK = "docs/runbooks/postgres-restore.md"
HOURS = 12


def logins(cluster: Cluster, number: int) -> None:
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
    _complete(cluster, name, lambda: cluster.run("create", "--filename=-", stdin=json.dumps(again)))


def backup(cluster: Cluster, number: int) -> None:
    """Take a full backup: the older ones lead to the timeline that was left, and without one of the new one there is no way back to it."""
    name = f"{NAME}-backup-after-restore-{number}"
    _complete(cluster, name, lambda: cluster.run("create", "job", name, f"--from=cronjob/{NAME}-backup-full"))


def _complete(cluster: Cluster, name: str, create: Callable[[], str]) -> None:
    """Return when the job is complete, be it from before an interruption; one that has failed is created anew."""
    found = cluster.get("job", name)
    if "Failed" in _ended(found):
        cluster.run("delete", "job", name)
    if not found or "Failed" in _ended(found):
        create()
    deadline = time.monotonic() + HOURS * 3600
    while time.monotonic() < deadline:
        ended = _ended(cluster.get("job", name))
        if "Complete" in ended:
            return
        if "Failed" in ended:
            raise Problem(f"job {name} failed: {cluster.run('logs', f'job/{name}', '--tail=5')}; see {RUNBOOK}")
        time.sleep(2)
    raise Problem(f"job {name} has not ended within {HOURS} hours")


def _ended(job: Any) -> set[str]:
    conditions = job.get("status", {}).get("conditions", [])
    return {condition["type"] for condition in conditions if condition["status"] == "True"}
