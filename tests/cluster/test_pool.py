"""The pool in front of the database: who comes in through it, as whom, and where it leads after a change of the primary."""

from typing import Any

import psycopg
import pytest

from tests.cluster.conftest import Node, Platform, eventually
from tests.cluster.database import Database

_PORT = 6432


@pytest.fixture(scope="module")
def pool(node: Node) -> str:
    """Return the pool's address."""
    return str(node.get("service", "pgbouncer", "--namespace=data")["spec"]["clusterIP"])


@pytest.fixture(scope="module")
def database(node: Node) -> Database:
    return Database(node)


def connect(database: Database, pool: str, login: str, **other: str) -> psycopg.Connection[tuple[object, ...]]:
    given: dict[str, Any] = {
        **database.parameters(login, pool),
        "port": _PORT,
        "prepare_threshold": None,
        "connect_timeout": 15,
        **other,
    }
    return psycopg.connect(**given)


def test_the_application_reaches_the_primary_through_the_pool(platform: Platform, database: Database) -> None:
    assert platform.call("/api/jobs")[0] == 200
    addresses = {pod["status"]["podIP"] for pod in platform.node.pods("data", "pgbouncer")}
    # They read from replicas, one of which may have been promoted since.
    readers = {pod["status"]["podIP"] for pod in platform.node.pods("app", "api")}
    query = "SELECT DISTINCT host(client_addr) FROM pg_stat_activity WHERE usename = 'application'"
    rows = eventually("the pool is connected", lambda: database.query(query, "monitoring"))
    assert {row[0] for row in rows} - readers <= addresses


def test_it_lets_in_the_application_and_nobody_else(database: Database, pool: str) -> None:
    with connect(database, pool, "application") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("application",)
    for login in ("migration", "monitoring", "backups"):
        with pytest.raises(psycopg.OperationalError):
            connect(database, pool, login)
    with pytest.raises(psycopg.OperationalError, match="SASL authentication failed"):
        connect(database, pool, "application", password="wrong")
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        connect(database, pool, "application", sslmode="disable")


def test_after_a_change_of_the_primary_it_leads_to_the_new_one(node: Node, database: Database, pool: str) -> None:
    """Clients are told to come again, with a code of a broken connection, until it has reached the new primary."""
    eventually("all servers are well", database.healthy, 120)
    leader = database.primary()
    change = ["patronictl", "switchover", "postgres", "--force"]
    node.kubectl("exec", "--namespace=data", leader, "--container=postgres", "--", *change)

    refusals: list[str] = []

    def served() -> bool:
        try:
            with connect(database, pool, "application") as connection:
                return connection.execute("SELECT NOT pg_is_in_recovery()").fetchone() == (True,)
        except psycopg.OperationalError as error:
            refusals.append(error.sqlstate or "08")
            return False

    eventually("a primary serves", served, 20)
    assert [code for code in refusals if not code.startswith("08")] == []
    eventually("all servers are well again", database.healthy, 180)
