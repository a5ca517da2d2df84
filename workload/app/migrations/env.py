"""Runs the migrations as the schema's owner, one at a time. A lock it cannot get soon fails it, not the requests."""

import logging
import time

from alembic import context
from sqlalchemy import URL, Connection, Engine, create_engine, pool, text
from sqlalchemy.exc import OperationalError

from workload.app import log
from workload.app.settings import Migration, Postgres

logger = logging.getLogger("workload.app")
_PAUSE_SECONDS = 0.5
MIGRATION_LOCK = 7_203_451  # any constant; it only has to be the same in each run


def migrate() -> None:
    """Bring the schema to the revision that alembic was called with."""
    settings, limits = Postgres.read(), Migration.read()
    log.configure("migration")
    url = URL.create(
        "postgresql+psycopg",
        settings.postgres_username,
        settings.postgres_password.get_secret_value(),
        settings.postgres_host,
        settings.postgres_port,
        settings.postgres_database,
    )
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5, **settings.verification})
    with _connected(engine, limits.migration_wait_seconds) as connection:
        # Two Jobs may overlap when a rollout is repeated: the second waits here, then finds nothing to do. The login's own limit
        # for locks would end that wait.
        connection.execute(text("SET lock_timeout = 0"))
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text(f"SET lock_timeout = {int(limits.migration_lock_seconds * 1000)}"))
        connection.commit()
        # What one revision has locked is let go before the next one begins, and stays done if that fails.
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


def _connected(engine: Engine, seconds: float) -> Connection:
    """Connect, trying for that long: a new pod's packets are refused until the node's firewall has heard of the pod.

    Left to the Job's own retries, whose pods are all new, the first rollout on a slow machine took five minutes.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return engine.connect()
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise
            logger.info("the database does not answer yet", extra={"problem": str(error.orig)})
            time.sleep(_PAUSE_SECONDS)


migrate()
