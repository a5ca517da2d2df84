"""The commands of the runbooks, as they stand there, on a platform that is well: each works, and it is well afterwards."""

import shlex

import pytest

from tests.cluster.conftest import Node, eventually
from tests.cluster.database import Database
from tests.render import ROOT

RUNBOOKS = ROOT / "docs" / "runbooks"


def commands(runbook: str) -> list[str]:
    """Return the commands of a runbook: the indented lines."""
    lines = (RUNBOOKS / f"{runbook}.md").read_text().splitlines()
    return [line.strip() for line in lines if line.startswith("    kubectl ")]


@pytest.fixture(scope="module")
def database(node: Node) -> Database:
    return Database(node)


def test_there_is_a_test_for_each_runbook() -> None:
    assert {file.stem for file in RUNBOOKS.glob("*.md")} == {
        "password-rotation",  # in test_zz_last.py, where it is done
        "postgres-failover",
        "postgres-full-disk",
        "postgres-major-upgrade",  # what can be looked at before it
        "postgres-restore",  # in test_backups.py, and its `make restore` in test_zz_last.py
        "redis-promotion",
        "redis-restore",  # in test_redis_backups.py, and on loopback in tests/servers/test_redis_backups.py
        "volume-snapshot-restore",  # in test_snapshots.py
    }


def test_a_server_is_looked_at_relieved_and_copied_anew(node: Node, database: Database) -> None:
    for command in commands("postgres-failover"):
        eventually("all servers are well", database.healthy, 180)
        leader = database.primary()
        words = shlex.split(command)[1:]
        if leader == "postgres-1":  # what the runbook says of postgres-1 is said of one that follows
            words = [word.replace("postgres-1", "postgres-2") for word in words]
        printed = node.kubectl(*words)
        if "list" in words:
            assert "Leader" in printed
        if "switchover" in words:
            eventually("another leads", lambda leader=leader: database.primary() != leader)
    eventually("all servers are well again", database.healthy, 180)


def test_what_fills_the_volumes_is_seen_and_they_can_grow(node: Node) -> None:
    printed = {command: node.kubectl(*shlex.split(command)[1:]) for command in commands("postgres-full-disk")}
    for command, expected in {"df ": "/data", "waldir": "MB", "slots": "reserved", "storageclasses": "true"}.items():
        (text,) = [text for ran, text in printed.items() if expected in text and command in ran]
        assert text
    assert all(printed.values()), printed


def test_what_an_upgrade_must_know_of_the_database_is_seen(node: Node) -> None:
    version, extensions, room, tables = (
        node.kubectl(*shlex.split(command)[1:]) for command in commands("postgres-major-upgrade")
    )
    assert version.split()[0].startswith("15.")
    assert {"pg_stat_statements", "pgaudit"} <= set(extensions.split())
    assert "/data" in room
    assert int(tables) > 1


def test_the_queue_says_who_leads(node: Node) -> None:
    answers = [node.kubectl(*shlex.split(command)[1:]).splitlines()[0] for command in commands("redis-promotion")]
    assert answers == ["master", "slave"]
