"""Last of all, for it changes the platform for good: volumes grow; `destroy` leaves nothing, here and on a user's cluster."""

import base64
import os
import shlex
import subprocess
import time
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local import images
from local.images.recipe import normalised
from local.node import context
from local.node.layout import CONTAINERD_SOCKET
from local.problem import Problem
from tests.cluster import site, store
from tests.cluster.conftest import Node, Platform, eventually, local, with_settings
from tests.cluster.database import Database, Writer, writing
from tests.cluster.load import load
from tests.cluster.test_runbooks import commands


@pytest.fixture
def _site(platform: Platform) -> Generator[None]:
    site.deploy(platform.node)
    yield
    site.remove(platform.node)


def test_no_probe_has_ended_a_container_in_all_the_tests_before(platform: Platform) -> None:
    """One that asks the wrong address, or the right one with too little patience, takes away what it was to watch over."""
    events = platform.node.get("events", "--all-namespaces", "--field-selector=reason=Killing")["items"]
    assert [event["message"] for event in events if "failed" in event["message"]] == []


@pytest.mark.usefixtures("_site")
def test_a_full_volume_costs_its_server_the_lead_and_growth_under_load_brings_it_back(
    platform: Platform, capfd: pytest.CaptureFixture[str]
) -> None:
    node = platform.node
    database = Database(node)
    eventually("all servers are well", database.healthy, 120)
    before = {name: pod["metadata"]["uid"] for name, pod in database.pods().items()}
    database.query("CREATE TABLE IF NOT EXISTS growing (n bigint)", "migration")
    writer = Writer(database.parameters("application"), "growing")
    with writing(writer):
        eventually("writes are acknowledged", lambda: len(writer.acks) > 20)
        full = database.primary()
        fill(node, full)
        eventually("another server leads", lambda: database.primary() != full or not burst(database), 120)
        assert used(node, full) >= 95, "its volume says what is wrong"
        settled = len(writer.acks)
        eventually("writes are acknowledged again", lambda: len(writer.acks) > settled + 20)
        began = time.monotonic()
        with load(platform):
            with_settings(platform, postgres={"volume": {"size": "2Gi"}}, redis={"volume": {"size": "2Gi"}}).up()

            def sizes() -> set[str]:
                claims = node.get("persistentvolumeclaims", "--namespace=data")["items"]
                return {claim["status"]["capacity"]["storage"] for claim in claims}

            eventually("all volumes have grown", lambda: sizes() == {"2Gi"}, 120)
            eventually("all servers are well again", database.healthy, 180)
    assert {name: pod["metadata"]["uid"] for name, pod in database.pods().items()} == before
    assert writer.longest_gap(since=began) < 2
    assert {ack.number for ack in writer.acks} <= {row[0] for row in database.query("SELECT n FROM growing")}
    # Reads every row of every table, and so the checksum of every page.
    dump = ["pg_dump", "--username=postgres", "--dbname=platform", "--file=/dev/null"]
    node.kubectl("exec", "--namespace=data", full, "--", *dump)
    with pytest.raises(Problem, match="preview of stack dev failed"):
        platform.engine().preview()
    assert "field can not be less than" in capfd.readouterr().out


@pytest.mark.usefixtures("_site")
def test_every_password_is_replaced_under_load_and_the_old_ones_end(platform: Platform) -> None:
    node = platform.node
    old = Database(node)
    eventually("all servers are well", old.healthy, 120)
    queue = clients_secret(node, "api-connections")
    keys = {"old": clients_secret(node, "postgres-connections")}
    with load(platform):
        larger: dict[str, Any] = {"volume": {"size": "2Gi"}, "rotation": 2}
        with_settings(platform, postgres=larger, redis=larger, objects={"rotation": 2}).up()
    new = Database(node)
    eventually("all servers are well again", new.healthy, 180)
    assert new.query("SELECT session_user::text, current_user::text") == [("application_2", "application_2")]
    for login in ("application", "migration", "reader", "monitoring", "backups"):
        with pytest.raises(psycopg.OperationalError, match=r"authentication failed|not permitted to log in"):
            old.query("SELECT 1", login)
    assert "NOAUTH" in queue_says(node, queue["REDIS_PASSWORD"])
    assert "PONG" in queue_says(node, clients_secret(node, "api-connections")["REDIS_PASSWORD"])
    keys["new"] = clients_secret(node, "postgres-connections")
    assert [each["OBJECTS_KEY_ID"] for each in keys.values()] == ["backups", "backups_2"]
    with store.client(node):
        old_one, new_one = (
            store.use(node, "backups", each["OBJECTS_KEY_ID"], each["OBJECTS_KEY"]) for each in keys.values()
        )
    assert "InvalidAccessKeyId" in old_one
    assert new_one == "content"
    archived = (
        "SELECT count(*) FROM pg_stat_archiver WHERE last_archived_time > coalesce(last_failed_time, '-infinity')"
    )
    eventually("the archive takes the new key", lambda: new.query(archived, "monitoring") == [(1,)], 150)
    listed, log = (node.kubectl(*shlex.split(command)[1:]) for command in commands("password-rotation"))
    retired = {"postgres-retirement", "redis-retirement", "objects-retirement"}
    assert retired <= {line.rpartition("-")[0] for line in listed.splitlines()}
    assert "retired: application" in log


def test_everything_wiped_is_restored_to_a_moment(platform: Platform) -> None:
    """Every row acknowledged before the moment is there, and none of those that followed.

    It goes over the rotation before: what was not archived with the old key was brought with the new one.
    """
    database = Database(platform.node)
    eventually("all servers are well", database.healthy, 120)
    database.query(
        "CREATE TABLE IF NOT EXISTS restoring (n bigint, at timestamptz DEFAULT clock_timestamp())", "migration"
    )
    writer = Writer(database.parameters("application"), "restoring")
    with writing(writer):
        eventually("rows are acknowledged", lambda: len(writer.acks) > 50)
        before = [ack.number for ack in writer.acks]
        ((moment,),) = database.query("SELECT clock_timestamp()::text")
        eventually("more rows are acknowledged", lambda: len(writer.acks) > len(before) + 50)
    ((segment,),) = database.query("SELECT pg_walfile_name(pg_current_wal_lsn())")
    reached = f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"
    eventually("all of it is archived", lambda: database.query(reached) == [(True,)], 150)
    claims = [f"data-postgres-{ordinal}" for ordinal in range(3)]

    def volumes() -> list[str]:
        names = "--output=jsonpath={.items[*].spec.volumeName}"
        listed = platform.node.kubectl(
            "get", "pvc", "--namespace=data", names, "--selector=app.kubernetes.io/name=postgres"
        )
        return listed.split()

    lost = volumes()
    platform.node.kubectl("delete", "pvc", *claims, "--namespace=data", "--wait=false")
    pods = [f"postgres-{ordinal}" for ordinal in range(3)]
    platform.node.kubectl("delete", "pod", *pods, "--namespace=data", "--force", "--grace-period=0")
    eventually("the servers have other volumes", lambda: len(set(volumes()) - set(lost)) == len(lost) == 3, 120)
    eventually("the servers wait for one that leads", lambda: len(database.pods()) == 3, 120)
    local("restore", "--stack", "dev", "--to", moment.replace(" ", "T") + ":00")
    eventually("all servers are well", database.healthy, 300)
    found = [int(row[0]) for row in database.query("SELECT n FROM restoring ORDER BY n")]
    assert set(before) <= set(found), "rows that were acknowledged before the moment are lost"
    ((later,),) = database.query(f"SELECT count(*) FROM restoring WHERE at > '{moment}'")
    assert later == 0


def clients_secret(node: Node, name: str) -> dict[str, str]:
    """Return what a workload is told of the servers it talks to."""
    (secret,) = [
        each
        for namespace in ("app", "data")
        for each in node.get("secrets", f"--namespace={namespace}")["items"]
        if each["metadata"]["name"].startswith(f"{name}-")
    ]
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def queue_says(node: Node, password: str) -> str:
    """Return what the queue says to a producer with this password, which goes in by standard input."""
    command = [
        "sh",
        "-c",
        "read -r REDISCLI_AUTH; export REDISCLI_AUTH; redis-cli --tls --cacert /etc/tls/ca.crt --user producer ping",
    ]
    kubectl = ["exec", "--stdin", "--namespace=data", "redis-0", "--", *command]
    return node.kubectl(*kubectl, stdin=f"{password}\n")


def fill(node: Node, pod: str) -> None:
    """Leave a server's volume 4 MiB, less than one file of the log, with a file of someone else's."""
    left = """$(( ($(df -P -k /data | awk 'NR == 2 { print $4 }') - 4 * 1024) * 1024 ))"""
    node.kubectl("exec", "--namespace=data", pod, "--", "sh", "-c", f"fallocate --length {left} /data/filling")


def burst(database: Database) -> bool:
    """Write 200 MB of log at once, faster than it is archived, so that its files cannot all be used again.

    It is the log and no table: one that cannot grow is no reason for a server to give up the lead.
    """
    message = "pg_logical_emit_message(false, 'filling', repeat('x', 4000000))"
    try:
        database.query(f"SELECT count({message}) FROM generate_series(1, 50)")
    except psycopg.OperationalError:
        return True  # refused, or the server is gone, which is what is awaited
    return True


def used(node: Node, pod: str) -> int:
    """Return how full a server's volume is, in percent."""
    shown = node.kubectl("exec", "--namespace=data", pod, "--container=postgres", "--", "df", "--output=pcent", "/data")
    return int(shown.split()[-1].rstrip("%"))


def test_destroy_leaves_nothing(platform: Platform) -> None:
    platform.engine().destroy()
    gone = ["wait", "--for=delete", f"namespace/{site.NAMESPACE}", "--timeout=60s"]
    platform.node.kubectl(*gone)
    assert nothing_left(platform.node)


def test_a_context_is_served_like_the_node_and_the_machine_is_left_alone(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node plays the user's cluster, empty by now: another kubeconfig, another state, images under their plain names."""
    theirs = tmp_path / "config"
    theirs.write_text(platform.node.kubeconfig.read_text())
    before = platform.node.kubeconfig.read_bytes()
    subprocess.run(
        [platform.node.binaries / "kubectl", f"--kubeconfig={theirs}", "config", "rename-context", context, "theirs"],
        check=True,
        capture_output=True,
    )
    for name, ours in images.references().items():
        tag = ["images", "tag", "--force", normalised(ours), normalised(name)]
        subprocess.run(["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", "k8s.io", *tag], check=True)
    # Who has a cluster has a kubectl; a bare machine has none.
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "kubectl").symlink_to(platform.node.binaries / "kubectl")
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{tmp_path / 'bin'}")
    monkeypatch.setenv("KUBECONFIG", str(theirs))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    local("up", "--context", "theirs")
    url = local("url", "--context", "theirs").stdout.strip()
    assert "127.0.0.1" not in url, "a node's own address is what answers on another cluster"
    with urllib.request.urlopen(f"{url}/readyz", timeout=10) as answer:
        assert answer.status == 200
    assert "postgres-0" in local("status", "--context", "theirs").stdout
    local("down", "--context", "theirs")
    assert nothing_left(platform.node)
    assert local("status").returncode == 0, "the node is not the stack's, and stays"
    assert platform.node.kubeconfig.read_bytes() == before


def nothing_left(node: Node) -> bool:
    """Await that neither an object of the platform nor a volume is left."""
    listed = node.kubectl("api-resources", "--verbs=list", "--output=name").split()
    left = node.kubectl(
        "get",
        ",".join(sorted(set(listed) - {"events", "events.events.k8s.io"})),
        "--all-namespaces",
        "--selector=app.kubernetes.io/part-of=platform",
        "--output=name",
        "--ignore-not-found",
    )
    assert left == ""
    namespaces = node.kubectl("get", "namespaces", "--output=name").split()
    assert not {"namespace/app", "namespace/data", "namespace/security"} & set(namespaces)
    kinds = "persistentvolumes,volumesnapshotcontents"  # what the claims and snapshots of a namespace stood for
    return eventually("volumes are gone", lambda: node.kubectl("get", kinds, "--output=name") == "", 60)
