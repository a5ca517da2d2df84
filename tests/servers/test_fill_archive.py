"""What a primary could not archive before another took its place is brought into the archive by the servers that have it."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import as_user, eventually, running
from tests.servers.database import Place, place, served


@pytest.fixture
def servers(gateway_binary: Path) -> Generator[tuple[Place, Place]]:
    """Lend a database that has its first backup, and one that follows it; neither is running."""
    with place(gateway_binary) as database:
        with served(database):
            taken = database.take("first")
            assert taken.returncode == 0, taken.stderr
            ended = database.sql("SELECT date_trunc('second', clock_timestamp())")
            database.sql("CREATE TABLE words (word text)")
            standby = database.elsewhere("standby")
            options = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf"]
            copied = database.run("pg_basebackup", *options, f"--pgdata={standby.environment['PGDATA']}")
            assert copied.returncode == 0, copied.stderr
            database.archived()
            # A backup is before a moment for pgBackRest if it ended in an earlier second.
            later = f"SELECT date_trunc('second', clock_timestamp()) > '{ended}'"
            eventually(lambda: database.sql(later) == "t", "the second is over", 5)
        yield database, standby


def written(database: Place, *words: str) -> str:
    """Write words, a segment of the log for each, and return the moment after the last."""
    for word in words:
        database.sql(f"INSERT INTO words VALUES ('{word}')")
        database.sql("SELECT pg_switch_wal()")
    return database.sql("SELECT clock_timestamp()")


def archived(database: Place) -> set[str]:
    """Return the whole segments in the archive, those before any change of the primary."""
    files = (database.objects / "postgres/archive").rglob("00000001????????????????-*.zst")
    return {file.name.partition("-")[0] for file in files}


def follows(standby: Place, database: Place) -> None:
    """Await that a standby has all that the primary has written."""
    position = database.sql("SELECT pg_current_wal_insert_lsn()")
    behind = f"SELECT pg_last_wal_replay_lsn() >= '{position}'"
    eventually(lambda: standby.sql(behind) == "t", "the standby has all of it", 30)


@contextmanager
def filling(server: Place, log: Path) -> Generator[subprocess.Popen[bytes]]:
    """Run what Patroni runs where a server's role has changed."""
    script = ". backup-environment; exec /usr/bin/python3 scripts/fill_archive.py on_role_change primary postgres"
    command = [*as_user("postgres"), "sh", "-euc", f"cd {server.folder}; {script}"]
    with running(command, log, server.environment) as process:
        yield process


def filled(server: Place, log: Path) -> str:
    with filling(server, log) as process:
        eventually(lambda: process.poll() is not None, f"it ends: {log.read_text()}", 60)
    assert process.returncode == 0, log.read_text()
    return log.read_text()


def restored(database: Place, moment: str) -> str:
    """Return the words there were at the moment, as a restore brings them back."""
    elsewhere = database.elsewhere("restored").told(RESTORE_TARGET=moment)
    done = elsewhere.script("bootstrap")
    assert done.returncode == 0, done.stderr
    with served(elsewhere, archives=False):
        return elsewhere.sql("SELECT string_agg(word, ' ' ORDER BY word) FROM words")


@pytest.fixture
def promoted(servers: tuple[Place, Place]) -> Generator[tuple[Place, Place, str]]:
    """Lend a former primary that could not archive and is gone, one that leads, and a moment that only their log leads to."""
    database, standby = servers
    with served(standby, standby=True):
        with served(database.told(OBJECTS_KEY="of an earlier rotation")):
            moment = written(database, "one", "three", "two")
            database.sql("CHECKPOINT")
            follows(standby, database)
        before = archived(database)
        standby.sql("SELECT pg_promote()")
        standby.sql("INSERT INTO words VALUES ('later')")
        standby.archived()
        assert archived(database) == before, "nothing is missing, so nothing is shown"
        yield database, standby, moment


def test_the_new_primary_brings_what_it_received_once_the_store_takes_it(
    promoted: tuple[Place, Place, str], tmp_path: Path
) -> None:
    _, leads, moment = promoted
    refused = tmp_path / "refused"
    with filling(leads.told(OBJECTS_KEY="not yet"), refused) as process:
        eventually(lambda: "the archive cannot be filled yet" in refused.read_text(), "it says why", 60)
        assert process.poll() is None, "it goes on"
    said = filled(leads, tmp_path / "log")
    assert said.count("was missing in the archive") >= 3
    assert filled(leads, tmp_path / "again") == ""
    assert restored(leads, moment) == "one three two"


def test_the_former_primary_brings_what_it_could_not(promoted: tuple[Place, Place, str], tmp_path: Path) -> None:
    database, leads, moment = promoted
    (database.data / "standby.signal").touch()
    with (database.data / "postgresql.auto.conf").open("a") as settings:
        host, port = (leads.environment[name] for name in ("PGHOST", "PGPORT"))
        settings.write(f"primary_conninfo = 'host={host} port={port} user=postgres'\n")
    with served(database, standby=True):
        said = filled(database, tmp_path / "log")
    assert said.count("was missing in the archive") >= 3
    assert filled(leads, tmp_path / "other") == ""
    assert restored(leads, moment) == "one three two"


def test_without_a_change_of_the_primary_there_is_nothing_to_bring(
    servers: tuple[Place, Place], tmp_path: Path
) -> None:
    with served(servers[0]):
        assert filled(servers[0], tmp_path / "log") == ""
