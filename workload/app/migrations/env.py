"""Runs the migrations as the schema's owner, one at a time. A lock it cannot get soon fails it, not the requests."""

from alembic import context
from sqlalchemy import URL, create_engine, pool, text

from workload.app import log
from workload.app.settings import Migration, Postgres

MIGRATION_LOCK = 7_203_451  # any constant; it only has to be the same in each run


def migrate() -> None:
    """Bring the schema to the revision that alembic was called with."""
    settings, lock = Postgres.read(), Migration.read()
    log.configure("migration")
    url = URL.create(
        "postgresql+psycopg",
        settings.postgres_username,
        settings.postgres_password.get_secret_value(),
        settings.postgres_host,
        settings.postgres_port,
        settings.postgres_database,
    )
    engine = create_engine(url, poolclass=pool.NullPool, connect_args={"connect_timeout": 5})
    with engine.connect() as connection:
        # Two Jobs may overlap when a rollout is repeated: the second waits here, then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
        connection.execute(text(f"SET lock_timeout = {int(lock.migration_lock_seconds * 1000)}"))
        connection.commit()
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


migrate()
