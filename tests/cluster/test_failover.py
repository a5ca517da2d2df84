"""The database under write load when its primary is lost, in three ways; `make soak` does each ten times."""

import pytest

from bench.failover import LIMITS
from tests.cluster.conftest import Node, Platform, eventually
from tests.cluster.database import Database, fail_over


@pytest.fixture(scope="module")
def database(node: Node) -> Database:
    return Database(node)


def test_one_server_leads_and_two_follow(database: Database) -> None:
    eventually("all servers are well", database.healthy, 120)
    rows = database.query("SELECT state, sync_state FROM pg_stat_replication", "monitoring")
    assert rows == [("streaming", "quorum")] * 2
    assert len(database.pods("replica")) == 2


def test_reads_go_to_replicas(platform: Platform, database: Database) -> None:
    def connected() -> bool:
        assert platform.call("/api/jobs")[0] == 200
        there = [
            database.query("SELECT 1 FROM pg_stat_activity WHERE application_name = 'api'", "monitoring", address)
            for pod in database.pods("replica").values()
            if (address := pod["status"]["podIP"])
        ]
        return any(there)

    eventually("the API reads from a replica", connected)


@pytest.mark.parametrize("fault", ["killed", "deleted"])  # the frozen one, which takes its time, is in `make soak`
def test_a_lost_primary_loses_no_acknowledged_write(database: Database, fault: str) -> None:
    assert fail_over(database, fault, f"failover_{fault}") <= LIMITS[fault].longest
