"""Migrations on a real PostgreSQL: one at a time, all or nothing, and those of docs/migrations.md while two releases serve."""

import random
import re
import shutil
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.processes import REPOSITORY, eventually
from tests.servers.workload_platform import Platform, migrate

pytest_plugins = ["tests.servers.workload_fixtures"]

_PAGE = (REPOSITORY / "docs" / "migrations.md").read_text()
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_OLD_ROWS = 5000
# More than a lock may be waited for, and far less than a table that is written anew or read under a lock would take.
_SLOWEST_SECONDS = 1.0


def _releases() -> Mapping[int, tuple[str, str]]:
    """Return how each release writes and reads, as the page says."""
    (block,) = [text for language, text in _BLOCK.findall(_PAGE) if language == "sql"]
    parts = re.split(r"^-- release (\d)\n", block, flags=re.MULTILINE)[1:]
    found: dict[int, tuple[str, str]] = {}
    for number, statements in zip(parts[::2], parts[1::2], strict=True):
        write, read = (statement.strip() for statement in statements.strip().rstrip(";").split(";"))
        found[int(number)] = write, read
    return found


@dataclass
class Example:
    """A database of its own with the workload's tables, and the revisions that a test adds to the workload's."""

    platform: Platform
    folder: Path
    written: list[tuple[UUID, int]] = field(default_factory=list[tuple[UUID, int]])

    def add(self, name: str, text: str) -> None:
        (self.folder / "versions" / f"{name}.py").write_text(text)

    def migrate(self, to: str) -> CompletedProcess[str]:
        place = {"POSTGRES_DATABASE": "example", "ALEMBIC_CONFIG": str(self.folder / "alembic.ini")}
        return migrate(self.platform, "upgrade", to, **place)

    def reach(self, to: str) -> None:
        done = self.migrate(to)
        assert done.returncode == 0, done.stderr

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        return self.platform.postgres.admin(statement, "example")

    def columns(self) -> set[object]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_name = 'extracts'"
        return {name for (name,) in self.sql(query)}

    @contextmanager
    def release(self, number: int) -> Generator["Client"]:
        """Let a client of a release write and read until the block ends."""
        client = Client(self, *_releases()[number])
        thread = threading.Thread(target=client.run)
        thread.start()
        try:
            client.goes_on()
            yield client
            client.goes_on()
        finally:
            client.stop.set()
            thread.join()


@dataclass
class Client:
    """What a pod of a release does: write a row, read one that any release wrote; each statement is timed."""

    example: Example
    write: str
    read: str
    done: int = 0
    slowest: float = 0.0
    failures: list[object] = field(default_factory=list[object])
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with self.example.platform.postgres.connect("application", "example") as connection:
            connection.prepare_threshold = None  # as behind the pool
            while not self.stop.is_set():
                began = time.monotonic()
                try:
                    self._once(connection)
                except psycopg.Error as error:
                    self.failures.append(error)
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.done += 1

    def goes_on(self) -> None:
        reached = self.done + 50
        eventually(lambda: self.done > reached, "the client goes on")

    def _once(self, connection: psycopg.Connection[tuple[object, ...]]) -> None:
        job, words = uuid4(), random.randrange(1000)
        with connection.transaction():
            connection.execute("INSERT INTO jobs (id, url, request_id) VALUES (%s, 'http://localhost/', '')", [job])
            connection.execute(self.write.encode(), {"job": job, "words": words})
        self.example.written.append((job, words))
        known, expected = random.choice(self.example.written)
        row = connection.execute(self.read.encode(), {"job": known}).fetchone()
        if row != (expected,):
            self.failures.append((known, expected, row))


@pytest.fixture
def example(servers: Platform, tmp_path: Path) -> Generator[Example]:
    folder = tmp_path / "migrations"
    shutil.copytree(REPOSITORY / "workload/app/migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    if servers.postgres.process is None:
        servers.postgres.start()
    servers.postgres.admin("CREATE DATABASE example OWNER migration")
    made = Example(servers, folder)
    made.reach("head")
    yield made
    servers.postgres.admin("DROP DATABASE example WITH (FORCE)")


@pytest.fixture
def renaming(example: Example) -> Example:
    """Add the page's revisions, and rows that release 1 wrote long ago."""
    for number, (_, text) in enumerate(block for block in _BLOCK.findall(_PAGE) if block[0] == "python"):
        example.add(f"example_{number}", text)
    example.sql(f"""
        INSERT INTO jobs (url, request_id) SELECT 'http://localhost/', '' FROM generate_series(1, {_OLD_ROWS});
        INSERT INTO extracts (job_id, title, links, words) SELECT id, '', '{{}}', 7 FROM jobs""")
    example.written += [(UUID(str(job)), 7) for (job,) in example.sql("SELECT id FROM jobs")]
    return example


def test_a_column_is_renamed_while_two_releases_at_a_time_serve(renaming: Example) -> None:
    clients: list[Client] = []
    with renaming.release(1) as first:
        renaming.reach("example_expand")
        with renaming.release(2):
            first.goes_on()  # both serve, as in a rollout
        clients.append(first)
    with renaming.release(2) as second:
        renaming.reach("example_move")
        with renaming.release(3) as third:
            second.goes_on()
        clients += [second, third]
    with renaming.release(3) as fourth:
        renaming.reach("example_contract")
        clients.append(fourth)
    assert [client.failures for client in clients] == [[], [], [], []]
    assert max(client.slowest for client in clients) < _SLOWEST_SECONDS
    assert "words" not in renaming.columns()
    assert renaming.sql("SELECT count(*) FROM extracts WHERE word_count IS NULL") == [(0,)]
    assert renaming.sql("SELECT count(*) FROM extracts") == [(len(renaming.written),)]


def test_a_contraction_that_comes_too_early_is_noticed(renaming: Example) -> None:
    """Hold the clients of this file against what they are to notice."""
    renaming.reach("example_move")
    with renaming.release(2) as client:
        renaming.reach("example_contract")
    assert any(isinstance(failure, psycopg.errors.UndefinedColumn) for failure in client.failures)


_BROKEN = """
from alembic import op

revision, down_revision = "broken", "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE extracts ADD half integer")
    op.execute("{second}")
"""


@pytest.mark.parametrize(
    ("second", "why"),
    [("SELECT nonsense", "UndefinedColumn"), ("ALTER TABLE totals ADD half integer", "lock timeout")],
    ids=["error", "lock"],
)
def test_a_migration_that_fails_half_way_leaves_all_as_it_was(example: Example, second: str, why: str) -> None:
    example.add("broken", _BROKEN.format(second=second))
    before = example.columns()
    with example.platform.postgres.connect("application", "example", autocommit=False) as client:
        client.execute("SELECT 1 FROM totals")  # a transaction that stays open
        with example.release(1) as serving:
            failed = example.migrate("head")
    assert failed.returncode != 0
    assert why in failed.stderr
    assert example.columns() == before
    assert example.sql("SELECT version_num FROM alembic_version") == [("0001",)]
    assert serving.failures == []
    assert serving.slowest < _SLOWEST_SECONDS


def test_a_revision_that_succeeded_stays_when_a_later_one_fails(example: Example) -> None:
    example.add("good", _BROKEN.format(second="SELECT 1").replace('"broken"', '"good"').replace("half", "whole"))
    example.add("broken", _BROKEN.format(second="SELECT nonsense").replace('"0001"', '"good"'))
    assert example.migrate("head").returncode != 0
    assert "whole" in example.columns()
    assert "half" not in example.columns()
    assert example.sql("SELECT version_num FROM alembic_version") == [("good",)]


def test_a_second_migration_waits_for_the_first_longer_than_for_a_lock(example: Example) -> None:
    """The login has a limit of its own for locks, which is for tables."""
    lock = re.search(r"^MIGRATION_LOCK = ([\d_]+)", (example.folder / "env.py").read_text(), re.MULTILINE)
    assert lock
    postgres, done = example.platform.postgres, list[CompletedProcess[str]]()
    postgres.admin("ALTER ROLE migration SET lock_timeout = '100ms'")
    try:
        with postgres.connect("migration", "example") as first:
            first.execute(f"SELECT pg_advisory_lock({lock[1].replace('_', '')})".encode())
            second = threading.Thread(target=lambda: done.append(example.migrate("head")))
            second.start()
            waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND now() - query_start > '500ms'"
            eventually(lambda: example.sql(waits) or done, "the second one waits, or has given up")
        second.join()
    finally:
        postgres.admin("ALTER ROLE migration RESET lock_timeout")
    assert done[0].returncode == 0, done[0].stderr
