"""How many connections the pool opens, with the real PgBouncer as the program configures it, all logins of a rotation together."""

from collections.abc import Generator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from components.pgbouncer import _PORT, _text
from components.tier_settings import PgBouncerSettings
from tests.processes import as_user, eventually, folder_of, free_port, listens, program, running
from tests.servers.workload_servers import PASSWORD, PostgresServer, postgres

_CONNECTIONS = 4


@pytest.fixture(scope="module")
def server() -> Generator[PostgresServer]:
    with postgres() as server:
        server.audited()
        server.admin("CREATE ROLE rewind")
        names = ("migration", "application", "application_2", "pooler", "pooler_2")
        done = server.statements("logins", dict.fromkeys(names, PASSWORD))
        assert done.returncode == 0, done.stderr
        yield server


@pytest.fixture
def pool(server: PostgresServer) -> Generator[int]:
    """Run the pool in the middle of a rotation, on loopback and so without TLS, and lend its port."""
    port = free_port()
    text = _text(
        PgBouncerSettings(connections=_CONNECTIONS, wait_seconds=5), "127.0.0.1", server.port, "jobs", "pooler_2"
    )
    with folder_of("postgres") as folder:
        lines = [line for line in text.splitlines() if not line.startswith(("client_tls", "server_tls"))]
        configuration = "\n".join(lines).replace("/etc/pgbouncer", str(folder)).replace(str(_PORT), str(port))
        (folder / "pgbouncer.ini").write_text(configuration)
        (folder / "users.txt").write_text(f'"pooler_2" "{PASSWORD}"\n')
        for file in folder.iterdir():
            file.chmod(0o644)
        command = [*as_user("postgres"), program("pgbouncer", "pgbouncer"), str(folder / "pgbouncer.ini")]
        with running(command, folder / "pgbouncer.log"):
            eventually(lambda: listens(port), "the pool listens")
            yield port


def client(port: int, login: str) -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(
        host="127.0.0.1",
        port=port,
        user=login,
        password=PASSWORD,
        dbname="jobs",
        prepare_threshold=None,
        autocommit=True,
    )


def opened(server: PostgresServer) -> int:
    """Return how many connections the pool has to the database."""
    return server.admin("SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^(application|pooler)'")[0][0]


def settled(server: PostgresServer) -> None:
    """Await that the pool has as many as it may; one that it has closed takes the server a moment to end."""
    eventually(lambda: opened(server) == _CONNECTIONS, "the pool has as many connections as it may", 5)


def test_all_logins_of_a_rotation_share_the_promised_connections(server: PostgresServer, pool: int) -> None:
    with ExitStack() as stack:
        old, new = (
            [stack.enter_context(client(pool, login)) for _ in range(2 * _CONNECTIONS)]
            for login in ("application", "application_2")
        )
        # What one of them does not use is the other's at once.
        for idle, busy in ((new, old), (old, new)):
            for connection in idle:
                connection.execute("SELECT 1")
            lent = busy[: _CONNECTIONS - 1]
            for connection in lent:
                connection.execute("BEGIN")
            settled(server)
            for connection in lent:
                connection.execute("COMMIT")
        # Half of each, at the same time.
        for connection in (*old[: _CONNECTIONS // 2], *new[: _CONNECTIONS // 2]):
            connection.execute("BEGIN")
        settled(server)


def test_who_comes_in_is_checked_though_all_connections_are_lent_and_waited_for(
    server: PostgresServer, pool: int
) -> None:
    """The connection that checks them is closed, as it is from time to time, so that another one must be opened."""
    with ExitStack() as stack:
        lent = [stack.enter_context(client(pool, "application")) for _ in range(_CONNECTIONS + 1)]
        for connection in lent[: _CONNECTIONS - 1]:
            connection.execute("BEGIN")
        lent[-1].pgconn.send_query(b"SELECT 1")
        stack.callback(lent[-1].close)  # it goes as it waits
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'pooler_2'"
        assert server.admin(ended) == [(True,)]
        eventually(lambda: opened(server) == _CONNECTIONS - 1, "the connection that checks logins is gone")
        # A login that the pool has not heard of yet, so that it must ask.
        assert opened(server) == _CONNECTIONS - 1
        stack.enter_context(client(pool, "application_2"))
        settled(server)
