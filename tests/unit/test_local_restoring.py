"""`make restore` against a stand-in for kubectl: what is refused changes nothing, and what is done is done in order."""

import json
import re
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from local import restoring
from local.database import Cluster
from local.problem import Problem

FIRST = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
KUBECTL = """
import json, sys
from pathlib import Path
folder = Path(sys.argv[1])
words = [word for word in sys.argv[2:] if not word.startswith("--namespace")]
state = json.loads((folder / "state").read_text())
changing = words[0] in ("create", "patch", "scale", "delete", "annotate") or "rm -rf" in words[-1]
if changing:
    with (folder / "changes").open("a") as changes:
        changes.write(" ".join(words) + chr(10))
def pods():
    found = state["pods"] if state["replicas"] else []
    return {"items": [{"metadata": {"name": name}} for name in found]}
if words[:2] == ["get", "pods"]:
    print(json.dumps(pods()) if pods()["items"] else "")  # as kubectl --ignore-not-found does
elif words[:2] == ["get", "statefulset"]:
    print(json.dumps({"spec": {"replicas": state["replicas"]}}))
elif words[:2] == ["get", "configmap"]:
    print(json.dumps(state["restore"]) if state["restore"] else "")
elif words[:2] == ["get", "jobs"]:
    labels = {"app.kubernetes.io/name": "postgres-logins", "batch.kubernetes.io/controller-uid": "x"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": []}}
    job = {"metadata": {"creationTimestamp": "2026"}, "spec": {"backoffLimit": 6, "template": template}}
    print(json.dumps({"items": [job]}))
elif words[:2] == ["get", "job"]:
    found = {"status": {"conditions": [{"type": state["job"], "status": "True"}]}}
    print(json.dumps(found) if words[2] in state["jobs"] else "")
elif words[:2] in (["create", "job"], ["create", "--filename=-"]):
    state["jobs"].append(words[2] if words[1] == "job" else json.load(sys.stdin)["metadata"]["name"])
elif words[:2] == ["delete", "job"]:
    state["jobs"].remove(words[2])
elif words[0] == "exec" and "info" in words:
    print(json.dumps([{"status": {"code": 0}, "backup": [{"timestamp": {"stop": stop}} for stop in state["backups"]]}]))
elif words[0] == "exec" and "pg_is_in_recovery" in words[-1]:
    print("f" if not state["log"] else "t")
elif words[0] == "logs":
    print(state["log"])
elif words[0] == "scale":
    state["replicas"] = int(words[-1].partition("=")[2])
elif words[0] == "patch":
    state["restore"] = json.loads(words[-1].partition("=")[2])
(folder / "state").write_text(json.dumps(state))
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    (tmp_path / "kubectl").write_text(KUBECTL)
    told(tmp_path, replicas=3, restore={}, pods=["postgres-0"], backups=[FIRST], log="", job="Complete", jobs=[])
    return Cluster([sys.executable, str(tmp_path / "kubectl"), str(tmp_path)], {})


def told(folder: Path, **changed: Any) -> None:
    known: dict[str, Any] = json.loads((folder / "state").read_text()) if (folder / "state").exists() else {}
    (folder / "state").write_text(json.dumps({**known, **changed}))


def changes(folder: Path) -> list[str]:
    file = folder / "changes"
    return file.read_text().splitlines() if file.exists() else []


REFUSED = {
    "yesterday": "not a time; as in TO='2026-11-26T01:00:00+00:00', or TO=newest",
    "": "not a time",
    "2026-11-20T01:00:00": "the time zone is missing",
    "2999-01-01T00:00:00+00:00": "has not been yet; now it is 20",
    "2026-10-31T23:59:59+00:00": "before the first backup; 2026-11-01T00:00:01+00:00 is the earliest moment",
}


@pytest.mark.parametrize("restore", [{}, {"metadata": {}}, {"data": {"number": "1", "instances": "3"}}])
def test_servers_that_were_stopped_for_something_else_are_left_so(
    cluster: Cluster, tmp_path: Path, restore: dict[str, Any]
) -> None:
    told(tmp_path, replicas=0, restore=restore)
    with pytest.raises(Problem, match="not for a restore: `make up` brings it up"):
        restoring.restore(cluster, "newest")
    assert changes(tmp_path) == []


@pytest.mark.parametrize("to", REFUSED)
def test_what_cannot_be_restored_is_refused_and_nothing_is_changed(cluster: Cluster, tmp_path: Path, to: str) -> None:
    with pytest.raises(Problem, match=re.escape(REFUSED[to])):
        restoring.restore(cluster, to)
    assert changes(tmp_path) == []


def test_without_a_backup_or_a_server_to_ask_nothing_is_changed(cluster: Cluster, tmp_path: Path) -> None:
    told(tmp_path, backups=[])
    with pytest.raises(Problem, match="there is no backup"):
        restoring.restore(cluster, "newest")
    told(tmp_path, pods=[])
    with pytest.raises(Problem, match="no pod of the database answers"):
        restoring.restore(cluster, "newest")
    assert changes(tmp_path) == []


def test_servers_stop_before_they_agree_anew_and_a_backup_follows(cluster: Cluster, tmp_path: Path) -> None:
    said: list[str] = []
    told(tmp_path, restore={"data": {"number": "9000000004", "target": ""}})
    restoring.restore(cluster, "2026-11-02T01:00:00+01:00", said.append)
    wanted = [
        r'patch configmap postgres-restore .*"number": "9000000004", "target": "", "instances": "3", "step": "stopping"',
        "scale statefulset/postgres --replicas=0",
        r'patch .*"number": "9000000005", "target": "2026-11-02 00:00:00\+00:00", "instances": "3", "step": "stopped"',
        "delete configmap postgres-leader postgres-sync postgres-failover postgres-failsafe",
        "annotate configmap postgres-config initialize- history-",
        'patch .*"number": "9000000005", "target": "2026-11-02 00:00:00.*"step": "restoring"',
        "scale statefulset/postgres --replicas=3",
        'patch .*"number": "9000000005", "target": "", "instances": "3", "step": "serving"',
        "create --filename=-",
        "create job postgres-backup-after-restore-9000000005 --from=cronjob/postgres-backup-full",
        r"exec postgres-0 .* sh -c rm -rf /data/pgdata.before\*",
        'patch .*"number": "9000000005", "target": "", "instances": "3", "step": ""',
    ]
    done = changes(tmp_path)
    assert [bool(re.match(pattern, line)) for pattern, line in zip(wanted, done, strict=True)] == [True] * len(
        wanted
    ), done
    assert "with the data of 2026-11-02T00:00:00+00:00" in said[-2]


def test_a_restore_has_a_higher_number_than_a_volume_remembers_though_the_last_one_is_forgotten(
    cluster: restoring.Cluster, tmp_path: Path
) -> None:
    before = int(time.time())
    restoring.restore(cluster, "newest", lambda _line: None)
    none, number = sorted({int(found) for found in re.findall(r'"number": "(\d+)"', "".join(changes(tmp_path)))})
    assert none == 0
    assert before <= number <= time.time()


def test_what_a_server_says_ends_the_wait(cluster: Cluster, tmp_path: Path) -> None:
    told(tmp_path, log="error: pgbackrest restore: checksum")
    with pytest.raises(Problem, match="postgres-0: error: pgbackrest restore: checksum; it goes on trying"):
        restoring.restore(cluster, "newest", lambda _line: None)


def test_a_backup_that_fails_is_not_kept_quiet(cluster: Cluster, tmp_path: Path) -> None:
    told(tmp_path, job="Failed")
    with pytest.raises(Problem, match=r"postgres-logins-after-restore-\d+ failed"):
        restoring.restore(cluster, "newest", lambda _line: None)
