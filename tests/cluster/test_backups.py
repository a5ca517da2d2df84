"""The database's backups on the real node: taken by `up`, and proven by the runbook's own commands."""

import shlex
import urllib.request

import pytest

from tests.cluster.conftest import Node, eventually
from tests.cluster.database import Database
from tests.cluster.test_runbooks import commands


@pytest.fixture(scope="module")
def database(node: Node) -> Database:
    return Database(node)


def test_up_takes_a_backup(database: Database) -> None:
    eventually("there is a full backup", lambda: database.query("SELECT 1 FROM platform.backups", "monitoring"))


def test_the_archive_is_never_far_behind(database: Database) -> None:
    """A segment that is not full is archived after a minute; the scheduler's lease writes all the time."""
    late = "SELECT last_archived_time > now() - interval '90 s' FROM pg_stat_archiver"
    eventually("the last segment is young", lambda: database.query(late, "monitoring") == [(True,)], 100)
    ((failed,),) = database.query("SELECT coalesce(last_failed_time > last_archived_time, false) FROM pg_stat_archiver")
    assert not failed


def test_the_runbook_takes_a_backup_and_tries_a_restore(node: Node, database: Database) -> None:
    printed = {command: node.kubectl(*shlex.split(command)[1:]) for command in commands("postgres-restore")}
    (info,) = [text for command, text in printed.items() if "backups info" in command]
    assert "status: ok" in info
    assert "full backup" in info
    statement = (
        "SELECT outcome, recovery_point_seconds < 120, recovery_time_seconds > 0 FROM platform.restores"
        " ORDER BY id DESC LIMIT 1"
    )
    assert database.query(statement, "monitoring") == [("verified", True, True)]
    kinds = database.query("SELECT kind FROM platform.backups ORDER BY started DESC LIMIT 1", "monitoring")
    assert kinds == [("diff",)]

    (exporter,) = node.pods("data", "postgres-exporter")
    with urllib.request.urlopen(f"http://{exporter['status']['podIP']}:9187/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    for name in (
        "last_backup_timestamp_seconds{",
        "last_verified_restore_timestamp_seconds{",
        "last_restore_verified{",
    ):
        assert f"postgres_{name}" in metrics
    assert "pg_stat_archiver_archived_count" in metrics
    assert metrics.count("pg_stat_replication_pg_wal_lsn_diff{") == 2, "how far each replica is behind"

    def claims() -> list[str]:
        return node.kubectl("get", "persistentvolumeclaims", "--namespace=data", "--output=name").split()

    eventually("the drill's volume is gone with its pod", lambda: not [name for name in claims() if "drill" in name])
