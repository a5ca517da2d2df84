"""Take a snapshot of each volume of one workload, and remove those that enough newer ones have made superfluous.

It runs as a Job and asks the Kubernetes API with its pod's own account. It can be killed anywhere and run again: a snapshot is
named after its claim and its Job, so the next pod of the Job goes on with what the one before it has made.
"""

import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ANSWER_SECONDS = 30
_POLL_SECONDS = 2.0

Snapshot = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be done: whose volumes, under which `run`, with which class, and how many of each volume are kept."""

    workload: str
    run: str
    snapshot_class: str
    keep: int
    seconds: float

    @property
    def claims(self) -> dict[str, str]:
        """The labels of the workload's claims."""
        return {"app.kubernetes.io/name": self.workload, "app.kubernetes.io/part-of": "platform"}

    @property
    def labels(self) -> dict[str, str]:
        """The labels of the snapshots made here; one that a person made has others, and is not touched."""
        return {**self.claims, "app.kubernetes.io/managed-by": "snapshots"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The Kubernetes API, as far as one namespace goes. The token is read each time, for the kubelet renews it."""

    url: str
    namespace: str
    token: Path
    trusted: ssl.SSLContext | None = None

    def claims(self, labels: Mapping[str, str]) -> list[str]:
        """Return the names of the claims that have a volume."""
        found = self._call("GET", f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims{_selected(labels)}")
        return sorted(claim["metadata"]["name"] for claim in found["items"] if claim["status"]["phase"] == "Bound")

    def snapshots(self, labels: Mapping[str, str]) -> list[Snapshot]:
        """Return the snapshots with these labels."""
        return self._call("GET", self._snapshots + _selected(labels))["items"]

    def create(self, snapshot: Snapshot) -> None:
        """Create a snapshot, unless there is one of its name."""
        try:
            self._call("POST", self._snapshots, snapshot)
        except urllib.error.HTTPError as error:
            if error.code != 409:
                raise

    def delete(self, name: str) -> None:
        """Delete a snapshot, unless someone has."""
        try:
            self._call("DELETE", f"{self._snapshots}/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise

    @property
    def _snapshots(self) -> str:
        return f"/apis/snapshot.storage.k8s.io/v1/namespaces/{self.namespace}/volumesnapshots"

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the API server's own address
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token.read_text().strip()}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS, context=self.trusted) as answer:  # noqa: S310
            return json.load(answer)


def take(api: Api, task: Task) -> list[str]:
    """Do the task, and return what is wrong: a volume that cannot be copied keeps no other from it."""
    claims = api.claims(task.claims)
    if not claims:
        return [f"{task.workload}: no claim of it has a volume; there is nothing to take"]
    wanted = {name_of(claim, task.run): claim for claim in claims}
    for name, claim in wanted.items():
        api.create(_snapshot(name, claim, task))
    wrong = _await_ready(api, task, set(wanted))
    for name in superfluous(api.snapshots(task.labels), task.keep):
        api.delete(name)
        print(f"{name}: removed, {task.keep} newer ones are ready", flush=True)
    return wrong


def name_of(claim: str, run: str) -> str:
    """Return the name of the one snapshot that a run takes of a claim."""
    return f"{claim}-{run}"


def superfluous(snapshots: Sequence[Snapshot], keep: int) -> list[str]:
    """Return the names of those that have at least `keep` newer ones of the same claim which are ready.

    So the last one that is ready never goes, whatever has failed since.
    """
    found: list[str] = []
    ready: dict[str, int] = {}
    for snapshot in sorted(snapshots, key=_age, reverse=True):
        claim = snapshot["spec"]["source"]["persistentVolumeClaimName"]
        leaving = "deletionTimestamp" in snapshot["metadata"]
        if ready.setdefault(claim, 0) >= keep:
            found += [] if leaving else [snapshot["metadata"]["name"]]
        elif is_ready(snapshot) and not leaving:
            ready[claim] += 1
    return found


def is_ready(snapshot: Snapshot) -> bool:
    """Whether a volume can be made from it."""
    return snapshot.get("status", {}).get("readyToUse") is True


def _age(snapshot: Snapshot) -> tuple[str, str]:
    return snapshot["metadata"]["creationTimestamp"], snapshot["metadata"]["name"]


def _snapshot(name: str, claim: str, task: Task) -> Snapshot:
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": name, "labels": task.labels},
        "spec": {
            "volumeSnapshotClassName": task.snapshot_class,
            "source": {"persistentVolumeClaimName": claim},
        },
    }


def _await_ready(api: Api, task: Task, wanted: set[str]) -> list[str]:
    """Return what is wrong with those of the wanted that are not ready in time."""
    deadline = time.monotonic() + task.seconds
    told: set[str] = set()
    while True:
        found = {snapshot["metadata"]["name"]: snapshot for snapshot in api.snapshots(task.labels)}
        ready = {name for name in wanted if is_ready(found.get(name, {}))}
        for name in sorted(ready - told):
            print(f"{name}: ready", flush=True)
        told |= ready
        if ready == wanted:
            return []
        if time.monotonic() > deadline:
            return [f"{name}: not ready after {task.seconds:.0f} s{_reason(found, name)}" for name in wanted - ready]
        time.sleep(_POLL_SECONDS)


def _reason(found: Mapping[str, Snapshot], name: str) -> str:
    if name not in found:
        return "; someone has deleted it"
    message = found[name].get("status", {}).get("error", {}).get("message")
    return f"; {message}" if message else "; is the cluster's snapshot controller running?"


def _selected(labels: Mapping[str, str]) -> str:
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return f"?labelSelector={urllib.parse.quote(selector)}"


def main() -> int:
    """Do what the environment says, and return the exit code."""
    task = Task(
        workload=os.environ["WORKLOAD"],
        run=os.environ["RUN"],
        snapshot_class=os.environ["SNAPSHOT_CLASS"],
        keep=int(os.environ["KEEP"]),
        seconds=float(os.environ["SECONDS_TO_READY"]),
    )
    api = Api(
        url=f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}",
        namespace=(ACCOUNT / "namespace").read_text(),
        token=ACCOUNT / "token",
        trusted=ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt")),
    )
    try:
        wrong = take(api, task)
    except urllib.error.HTTPError as error:
        wrong = [f"{error.url}: {error.code} {error.read().decode(errors='replace').strip()}"]
    except OSError as error:
        wrong = [f"{api.url} does not answer: {error}"]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
