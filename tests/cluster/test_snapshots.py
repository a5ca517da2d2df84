"""Scheduled snapshots of the real platform: of each volume, for as long as was asked, and good to start from again."""

import json
import os
import re
import subprocess
from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster.conftest import Node, Platform, eventually
from tests.cluster.database import Database
from tests.cluster.test_queue import ask, leads
from tests.cluster.test_storage import Volumes
from tests.render import ROOT

CLAIMS = {
    "postgres": {"data-postgres-0", "data-postgres-1", "data-postgres-2"},
    "redis": {"data-redis-0", "data-redis-1"},
}
OURS = "app.kubernetes.io/managed-by=snapshots"


@pytest.fixture(scope="module", autouse=True)
def _only_ours(node: Node) -> Generator[None]:
    """Hold the schedule back meanwhile, which has its time in the middle of a test once a day."""

    def suspend(*, so: bool) -> None:
        for tier in CLAIMS:
            patch = json.dumps({"spec": {"suspend": so}})
            node.kubectl("patch", "cronjob", f"{tier}-snapshots", "--namespace=data", f"--patch={patch}")

    suspend(so=True)
    clear(node)
    yield
    suspend(so=False)


@pytest.fixture(autouse=True)
def _none_left(node: Node) -> Generator[None]:
    """Remove what the test's runs made."""
    yield
    clear(node)


def clear(node: Node) -> None:
    """Remove all snapshots and the Jobs that made them."""
    node.kubectl("delete", "jobs", "--namespace=data", "--selector=app.kubernetes.io/component=snapshots")
    node.kubectl("delete", "volumesnapshots", "--namespace=data", f"--selector={OURS}")


def run(node: Node, tier: str, name: str, **env: str) -> None:
    """Do now what the CronJob does at its time, with some of its environment replaced."""
    made = ["create", "job", "--namespace=data", f"--from=cronjob/{tier}-snapshots", name]
    job = json.loads(node.kubectl(*made, "--dry-run=client", "--output=json"))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    container["env"] = [
        {**item, "value": env[item["name"]]} if item["name"] in env else item for item in container["env"]
    ]
    node.kubectl("create", "--namespace=data", "--filename=-", stdin=json.dumps(job))
    node.kubectl("wait", "--namespace=data", "--for=condition=Complete", f"job/{name}", "--timeout=120s")


def snapshots(node: Node, tier: str) -> dict[str, Any]:
    """Return a tier's snapshots by name."""
    found = node.get("volumesnapshots", "--namespace=data", f"--selector={OURS},app.kubernetes.io/name={tier}")
    return {snapshot["metadata"]["name"]: snapshot for snapshot in found["items"]}


@pytest.mark.parametrize("tier", CLAIMS)
def test_a_run_takes_a_snapshot_of_each_volume(node: Node, tier: str) -> None:
    run(node, tier, "tonight")
    found = snapshots(node, tier)
    assert set(found) == {f"{claim}-tonight" for claim in CLAIMS[tier]}
    assert all(snapshot["status"]["readyToUse"] for snapshot in found.values())


def test_the_oldest_go_and_their_content_with_them(node: Node) -> None:
    def contents() -> set[str]:
        listed = node.get("volumesnapshotcontents")["items"]
        return {
            content["spec"]["volumeSnapshotRef"]["name"]
            for content in listed
            if content["spec"]["volumeSnapshotRef"]["namespace"] == "data"
        }

    for name in ("first", "second", "third"):
        run(node, "redis", name, KEEP="2")
    kept = {f"{claim}-{name}" for claim in CLAIMS["redis"] for name in ("second", "third")}
    assert set(snapshots(node, "redis")) == kept
    eventually("the contents of the first are gone", lambda: contents() == kept)


def test_a_database_starts_from_a_snapshot_taken_under_it(node: Node) -> None:
    """With what was acknowledged before, and nothing of what came after."""
    database = Database(node)
    eventually("all servers are well", database.healthy, 180)
    leader = database.primary()
    database.query("CREATE TABLE IF NOT EXISTS snapshots (word text)", "migration")
    database.query("INSERT INTO snapshots VALUES ('before')")
    run(node, "postgres", "under-load")
    database.query("INSERT INTO snapshots VALUES ('after')")
    server = node.get("statefulset", "postgres", "--namespace=data")["spec"]["template"]["spec"]["containers"][0]
    volumes = Volumes(node=node, image=server["image"], namespace="data", user=999, memory="512Mi")
    try:
        volumes.claim("restored", "1Gi", snapshot=f"data-{leader}-under-load")
        volumes.pod("restored", "restored")
        # Its own directory is all it may write to. With a log of its own it does not hold on to kubectl's.
        options = "-c listen_addresses='' -c unix_socket_directories=/restored -c ssl=off -c archive_mode=off"
        options += " -c hba_file=/restored/pgdata/pg_hba.conf -c ident_file=/restored/pgdata/pg_ident.conf"
        start = "pg_ctl start --wait --silent --pgdata=/restored/pgdata --log=/restored/log"
        said = volumes.shell("restored", f'{start} --options="{options}" >/dev/null || cat /restored/log')
        assert said == "", said
        psql = "psql --host=/restored --username=postgres --tuples-only --no-align"
        query = f"{psql} --command='SELECT word FROM snapshots' platform"
        assert volumes.shell("restored", query) == "before"
    finally:
        volumes.kubectl("delete", "pod/restored", "persistentvolumeclaim/restored", "--ignore-not-found")
        database.query("DROP TABLE snapshots", "migration")


@pytest.mark.parametrize(("tier", "number"), [("redis", 1), ("postgres", 2)])
def test_a_volume_is_put_back_as_the_runbook_says(platform: Platform, tier: str, number: int) -> None:
    node, pod = platform.node, f"{tier}-{number}"
    database = Database(node)
    eventually("all servers are well", database.healthy, 180)
    if database.primary() == pod:
        node.kubectl("exec", "--namespace=data", pod, "--", "patronictl", "switchover", "postgres", "--force")
        eventually("another leads", lambda: database.primary() != pod)
        eventually("all servers are well", database.healthy, 180)
    node.kubectl("exec", "--namespace=data", pod, "--", "sh", "-c", "echo before > /data/marker")
    run(node, tier, "before-the-change")
    node.kubectl("exec", "--namespace=data", pod, "--", "sh", "-c", "echo after > /data/marker")
    runbook = (ROOT / "docs" / "runbooks" / "volume-snapshot-restore.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```", runbook, re.MULTILINE | re.DOTALL)
    first, rest = script.split("\n", 1)
    assert first == "tier=redis number=1 instances=2 snapshot=data-redis-1-before-the-change"
    mine = f"tier={tier} number={number} instances={number + 1} snapshot=data-{pod}-before-the-change"
    environment = {
        **os.environ,
        "KUBECONFIG": str(node.kubeconfig),
        "PATH": f"{node.binaries}:{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "-eu", "-c", f"{mine}\n{rest}"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert node.kubectl("exec", "--namespace=data", pod, "--", "cat", "/data/marker") == "before\n"
    node.kubectl("exec", "--namespace=data", pod, "--", "rm", "/data/marker")
    if tier == "redis":
        ask(node, "redis-0", "xadd", "jobs:test", "*", "word", "kept")
        eventually("redis-1 follows redis-0", lambda: leads(node, "redis-0", "redis-1"))
        eventually("it has what redis-0 has", lambda: "kept" in ask(node, pod, "xrange", "jobs:test", "-", "+"))
        ask(node, "redis-0", "del", "jobs:test")
    eventually("all servers are well again", database.healthy, 180)
    claim = node.get("persistentvolumeclaim", f"data-{pod}", "--namespace=data")
    whole = node.get("persistentvolumeclaim", f"data-{tier}-0", "--namespace=data")
    for key in ("storageClassName", "accessModes", "resources"):
        assert claim["spec"][key] == whole["spec"][key]
    assert platform.engine().changes() == []
