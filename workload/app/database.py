"""Connections to Postgres: writes go to the primary, reads to a replica when there is one and it works."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, LiteralString, NoReturn, TypeVar

import psycopg
from psycopg.rows import class_row
from psycopg_pool import ConnectionPool

from workload.app.settings import Postgres

Row = TypeVar("Row")
Result = TypeVar("Result")
Connection = psycopg.Connection[tuple[Any, ...]]
Pool = ConnectionPool[Connection]

# The second is what a primary that was demoted under us answers.
UNAVAILABLE = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
# What passes when another server leads: this one is going, coming or a replica now; 08 is what a pooler in between says of it.
_PASSING = ("08", "57P01", "57P02", "57P03", "25006")
_AGAIN_SECONDS = 0.1
REPLICA_PAUSE_SECONDS = 10.0


def check_primary(connection: Connection) -> None:
    """Drop a connection to a server that is gone, or that a failover has demoted, before a request meets it."""
    row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
    if row is None or row[0]:
        raise psycopg.OperationalError("the server is not the primary any more")


def _pool(settings: Postgres, host: str, port: int, name: str, *, primary: bool) -> Pool:
    return ConnectionPool(
        kwargs={
            "host": host,
            "port": port,
            "dbname": settings.postgres_database,
            "user": settings.postgres_username,
            "password": settings.postgres_password.get_secret_value(),
            "application_name": name,
            "connect_timeout": 3,
            **settings.verification,
            "tcp_user_timeout": 10_000,
            "autocommit": True,
            # Between two transactions another server connection may be lent to us, which knows no statement of ours.
            "prepare_threshold": None,
        },
        min_size=1,
        max_size=settings.postgres_connections,
        timeout=2,
        # Short lives spread the connections over replicas that come and go.
        max_lifetime=300,
        # Past this the pool tries again for each request, instead of ever more rarely, two seconds and more after a primary is there.
        reconnect_timeout=1,
        check=check_primary if primary else ConnectionPool.check_connection,
        open=False,
    )


class Database:
    """The primary, and a replica where there is one; each with a pool of connections that outlives its servers."""

    def __init__(self, settings: Postgres, name: str) -> None:
        self._primary = _pool(settings, settings.postgres_host, settings.postgres_port, name, primary=True)
        self._replica: Pool | None = None
        if settings.postgres_replica_host:
            self._replica = _pool(
                settings, settings.postgres_replica_host, settings.postgres_replica_port, name, primary=False
            )
        self._replica_from = 0.0

    @property
    def has_replica(self) -> bool:
        """Whether a read may be answered by a server that is a little behind."""
        return self._replica is not None

    def open(self) -> None:
        """Start connecting; a server that is not there yet shows in the readiness check, not here."""
        for pool in self._pools():
            pool.open(wait=False)

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools():
            pool.close(timeout=2)

    def _pools(self) -> list[Pool]:
        return [self._primary] if self._replica is None else [self._primary, self._replica]

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Lend a connection to the primary."""
        with self._primary.connection() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Lend a connection to a replica, or to the primary when there is none that answers."""
        connection = self._from_replica()
        if connection is None or self._replica is None:
            with self.writing() as connection:
                yield connection
            return
        try:
            yield connection
        finally:
            self._replica.putconn(connection)

    def _from_replica(self) -> Connection | None:
        """Try a replica. After a failure none is tried for a while, or each read would wait for a dead one."""
        if self._replica is None or time.monotonic() < self._replica_from:
            return None
        try:
            return self._replica.getconn()
        except psycopg.OperationalError:
            self._replica_from = time.monotonic() + REPLICA_PAUSE_SECONDS
            return None


def patiently(attempt: Callable[[], Result], seconds: float) -> Result:
    """Return what `attempt` returns; while no server takes it, try again for that long: a slow answer instead of none.

    A commit whose answer was lost is made again, so `attempt` must be one that changes nothing the second time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except UNAVAILABLE as problem:
            # Without a code the connection broke, or there was none.
            if not (problem.sqlstate or "08").startswith(_PASSING) or time.monotonic() > deadline:
                raise
        time.sleep(_AGAIN_SECONDS)


def one(connection: Connection, model: type[Row], query: LiteralString, parameters: Any = None) -> Row | None:
    """Return the first row as this model."""
    with connection.cursor(row_factory=class_row(model)) as cursor:
        return cursor.execute(query, parameters).fetchone()


def every(connection: Connection, model: type[Row], query: LiteralString, parameters: Any = None) -> list[Row]:
    """Return all rows as this model."""
    with connection.cursor(row_factory=class_row(model)) as cursor:
        return cursor.execute(query, parameters).fetchall()


def no_row() -> NoReturn:
    """Raise, where the schema promises a row."""
    raise LookupError("the database has no row where its schema promises one")
