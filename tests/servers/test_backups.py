"""Backups are proven by restores: with the real database, the real object store, and the scripts of the image."""

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.processes import eventually, running
from tests.servers.database import ADDER, BUCKET, Place, place, served

PLANTED = "planted-plaintext-"


@pytest.fixture(scope="module")
def database(gateway_binary: Path) -> Generator[Place]:
    """Lend a database with a full and a differential backup, and a table of words, some from before the first, some later."""
    with place(gateway_binary) as found, served(found):
        found.sql(f"CREATE TABLE words AS SELECT '{PLANTED}' || n AS word FROM generate_series(1, 1000) AS n")
        for kind in ("first", "differential"):
            taken = found.take(kind)
            assert taken.returncode == 0, taken.stderr
            found.sql(f"INSERT INTO words VALUES ('{PLANTED}after-{kind}')")
        found.archived()
        yield found


@contextmanager
def damaged(file: Path) -> Generator[None]:
    """Turn one byte over, in the middle of an object."""
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(content[:half] + bytes([content[half] ^ 0xFF]) + content[half + 1 :])
    yield
    file.write_bytes(content)


def archive(database: Place) -> list[Path]:
    """Return the segments in the archive, the oldest first."""
    return sorted(
        file for file in (database.objects / "postgres/archive").rglob("*.zst") if file.name[:8] == "00000001"
    )


def failed_drill(database: Place, name: str, **told: str) -> str:
    """Run a drill that must fail, and return what it says; nothing of it may be left."""
    elsewhere = database.elsewhere(name).told(**told)
    done = elsewhere.script("drill")
    assert done.returncode == 1, done.stdout
    assert not Path(elsewhere.environment["PGDATA"]).exists()
    return done.stderr


def test_both_kinds_of_backup_are_noted(database: Place) -> None:
    assert database.sql("SELECT kind, ended > started FROM platform.backups ORDER BY started") == "full|t\ndiff|t"


def test_a_drill_restores_checks_notes_and_leaves_nothing(database: Place) -> None:
    elsewhere = database.elsewhere("drill")
    done = elsewhere.script("drill")
    assert done.returncode == 0, done.stderr
    assert not Path(elsewhere.environment["PGDATA"]).exists()
    row = database.sql(
        "SELECT outcome, backup = (SELECT max(label) FROM platform.backups), target > started, target < ended,"
        " recovery_point_seconds BETWEEN 0 AND 60, recovery_time_seconds > 0 FROM platform.restores ORDER BY id DESC LIMIT 1"
    )
    assert row == "verified|t|t|t|t|t"


def test_a_drill_notices_rows_that_are_not_what_they_were(database: Place) -> None:
    """The primary is what lies here: a row that never was in its log."""
    database.sql(
        "CREATE UNLOGGED TABLE forged AS SELECT * FROM platform.sentinels; ALTER TABLE platform.sentinels RENAME TO kept"
    )
    database.sql("INSERT INTO forged VALUES (0, '2026-01-01', 'x'); ALTER TABLE forged SET SCHEMA platform")
    database.sql(
        "GRANT ALL ON platform.forged TO backups; CREATE SEQUENCE ids START 1000; GRANT USAGE ON SEQUENCE ids TO backups"
    )
    database.sql(
        "ALTER TABLE platform.forged RENAME TO sentinels; ALTER TABLE platform.sentinels ALTER id SET DEFAULT nextval('ids')"
    )
    try:
        said = failed_drill(database, "forged")
    finally:
        database.sql("DROP TABLE platform.sentinels; DROP SEQUENCE ids; ALTER TABLE platform.kept RENAME TO sentinels")
    assert "rows: 0 instead of" in said
    assert "rows: 0 instead of" in database.sql("SELECT outcome FROM platform.restores ORDER BY id DESC LIMIT 1")


def test_a_drill_that_is_interrupted_notes_it_and_leaves_nothing(database: Place) -> None:
    """As its pod is deleted, or its time is up, while the restored server runs: here one that never gets out of recovery."""
    never = '[ "$PGHOST" = localhost ] || { [ ! -e "$PGDATA/postmaster.pid" ] || ln -f "$PGDATA/postmaster.pid" "$PGDATA/../"; exit 2; }'
    elsewhere = database.elsewhere("interrupted").around("psql", f'{never}; exec $real "$@"')
    data = Path(elsewhere.environment["PGDATA"])
    script = elsewhere.command("/usr/bin/python3", str(database.folder / "scripts" / "drill.py"))
    log = data.parent / "drill.log"
    with running(script, log, elsewhere.environment) as drill:
        eventually((data.parent / "postmaster.pid").exists, "the restored server runs", 60)
        server = Path("/proc", (data.parent / "postmaster.pid").read_text().split()[0])
        assert server.exists()
        drill.terminate()
        assert drill.wait(20) == 1
    assert "error: interrupted" in log.read_text()
    assert not server.exists()
    assert not data.exists()
    row = "SELECT outcome, backup IS NOT NULL, target IS NOT NULL, recovery_time_seconds FROM platform.restores"
    assert database.sql(f"{row} ORDER BY id DESC LIMIT 1") == "interrupted|t|t|"


@contextmanager
def retired_meanwhile(database: Place, step: str, at: Place) -> Generator[Place]:
    """Lend a place where the login of backups is ended after this step of pgBackRest; afterwards it is one again."""
    primary = f"PGHOST={database.environment['PGHOST']} PGPORT={database.environment['PGPORT']}"
    retire = 'psql --quiet --dbname=postgres --command="ALTER ROLE backups NOLOGIN" >&2'
    try:
        yield at.around("pgbackrest", f'$real "$@" || exit; [ "$1" != {step} ] || {primary} {retire}')
    finally:
        database.sql("ALTER ROLE backups LOGIN")


def test_a_backup_whose_login_is_retired_meanwhile_is_noted_by_the_next_one(database: Place) -> None:
    noted = "SELECT count(*) FROM platform.backups"
    before = int(database.sql(noted))
    with retired_meanwhile(database, "backup", database) as rotated:
        done = rotated.take("differential")
        assert done.returncode == 0, done.stderr
        assert "it is in the bucket, and the next backup notes it" in done.stdout
        assert "password-rotation.md" in done.stdout
    assert int(database.sql(noted)) == before
    assert database.take("differential").returncode == 0
    assert int(database.sql(noted)) == before + 2


def test_a_drill_whose_login_is_retired_meanwhile_says_how_it_ended(database: Place) -> None:
    with retired_meanwhile(database, "restore", database.elsewhere("retired")) as rotated:
        done = rotated.script("drill")
        assert done.returncode == 1
        assert "error: verified; and this could not be noted: localhost: " in done.stderr
        assert "password-rotation.md" in done.stderr
        assert not Path(rotated.environment["PGDATA"]).exists()


def test_every_row_before_a_moment_is_restored_and_none_after_it(database: Place) -> None:
    database.sql("CREATE TABLE moments AS SELECT 'before' AS word")
    target = database.sql("SELECT clock_timestamp()")
    database.sql("INSERT INTO moments VALUES ('after')")
    database.archived()
    elsewhere = database.elsewhere("moment").told(RESTORE_TARGET=target)
    done = elsewhere.script("bootstrap")
    assert done.returncode == 0, done.stderr
    assert f"restoring to {target}" in done.stdout
    with served(elsewhere, archives=False):
        assert elsewhere.sql("SELECT word FROM moments") == "before"
        assert elsewhere.sql("SELECT count(*) FROM words") == "1002"


def test_an_empty_volume_is_filled_to_the_newest_moment(database: Place) -> None:
    database.sql("CREATE TABLE newest AS SELECT 'last' AS word")
    database.archived()
    elsewhere = database.elsewhere("newest")
    assert elsewhere.script("bootstrap").returncode == 0
    with served(elsewhere, archives=False):
        assert elsewhere.sql("SELECT word FROM newest") == "last"


def test_only_a_bucket_without_any_backup_lets_a_cluster_begin_empty(database: Place) -> None:
    elsewhere = database.elsewhere("first").told(OBJECTS_BUCKET="empty")
    done = elsewhere.script("bootstrap")
    assert done.returncode == 0, done.stderr
    assert "beginning with an empty database" in done.stdout
    assert (Path(elsewhere.environment["PGDATA"]) / "global/pg_control").exists()


UNREADABLE = {
    "a wrong key": ({"BACKUPS_ENCRYPTION_KEY": "another"}, "cannot be read"),
    "a bucket that is not there": ({"OBJECTS_BUCKET": "nowhere"}, "NoSuchBucket"),
    "an account that is not there": ({"OBJECTS_KEY_ID": "nobody"}, "InvalidAccessKeyId"),
    "a store that does not answer": ({"OBJECTS_ENDPOINT": "localhost:9"}, "unable to connect"),
    "a store that is not ours": (
        {"OBJECTS_CA_FILE": "/etc/ssl/certs/ca-certificates.crt"},
        "unable to verify certificate",
    ),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_bucket_that_cannot_be_read_is_not_an_empty_one(database: Place, what: str) -> None:
    told, said = UNREADABLE[what]
    elsewhere = database.elsewhere(what.replace(" ", "-")).told(**told, BACKUPS_PATIENCE_SECONDS="0")
    done = elsewhere.script("bootstrap")
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert not Path(elsewhere.environment["PGDATA"]).exists()
    assert not (Path(elsewhere.environment["PGDATA"]).parent / "bootstrapping").exists()


def test_a_drill_fails_loudly_on_a_wrong_key_and_on_an_empty_bucket(database: Place) -> None:
    assert "cannot be read" in failed_drill(
        database, "key", BACKUPS_ENCRYPTION_KEY="another", BACKUPS_PATIENCE_SECONDS="0"
    )
    assert "there is no backup in the bucket" in failed_drill(database, "nothing", OBJECTS_BUCKET="empty")


def test_a_drill_fails_loudly_on_a_missing_segment_of_the_log(database: Place) -> None:
    database.archived()
    missing = archive(database)[-1]
    database.sql("INSERT INTO words VALUES ('in the next segment')")
    database.archived()
    aside = database.folder / "aside"
    missing.rename(aside)
    try:
        said = failed_drill(database, "missing")
    finally:
        aside.rename(missing)
    assert "recovery ended before configured recovery target was reached" in said


def test_a_damaged_object_is_reported_and_not_restored(database: Place) -> None:
    largest = max((database.objects / "postgres/backup").rglob("bundle/*"), key=lambda file: file.stat().st_size)
    with damaged(largest):
        said = failed_drill(database, "damaged")
        elsewhere = database.elsewhere("damaged-first")
        done = elsewhere.script("bootstrap")
    assert done.returncode == 1
    for words in (said, done.stderr):
        assert "pgbackrest restore" in words
        assert "error restoring" in words or "checksum" in words or "raised from" in words
    assert not Path(elsewhere.environment["PGDATA"]).exists()


def test_nothing_in_the_bucket_can_be_read_without_the_key(database: Place) -> None:
    database.sql("CHECKPOINT")
    grep = ["grep", "--recursive", "--text", "--files-with-matches", PLANTED]
    assert subprocess.run([*grep, database.data], capture_output=True, text=True, check=True).stdout, (
        "it is not planted"
    )
    stored = [database.folder / "objects", database.folder / "versions"]
    assert sum(file.stat().st_size for file in stored[0].rglob("*") if file.is_file()) > 1 << 20
    assert subprocess.run([*grep, *stored], capture_output=True, text=True, check=False).stdout == ""
    # Not even compressed: what is not encrypted begins as zstd does.
    for file in archive(database):
        assert not file.read_bytes().startswith(b"\x28\xb5\x2f\xfd"), file


def test_the_servers_account_cannot_remove_a_backup(database: Place) -> None:
    segment = archive(database)[0]
    with pytest.raises(ClientError, match="AccessDenied"):
        database.s3(ADDER).delete_object(Bucket=BUCKET, Key=str(segment.relative_to(database.objects)))
    assert segment.exists()


def test_a_client_with_another_name_reads_no_server(database: Place) -> None:
    done = database.take("differential", BACKUPS_TLS=str(database.folder / "other"))
    assert done.returncode == 1
    assert "access denied" in done.stderr


def test_after_a_restore_in_place_the_same_bucket_goes_on_and_old_backups_go(gateway_binary: Path) -> None:
    with place(gateway_binary) as database:
        with served(database):
            assert database.take("full").returncode == 0
            database.sql("CREATE TABLE words AS SELECT 'before' AS word")
            # A moment is looked for in the last backup that ended in an earlier second.
            later = "SELECT clock_timestamp() >= max(ended) + interval '1 second' FROM platform.backups"
            eventually(lambda: database.sql(later) == "t", "the second of the backup is over")
            target = database.sql("SELECT clock_timestamp()")
            database.sql("INSERT INTO words VALUES ('after')")
        database.data.rename(database.data.with_suffix(".before"))
        done = database.script("bootstrap", RESTORE_TARGET=target)
        assert done.returncode == 0, done.stderr
        with served(database):
            assert database.sql("SELECT word FROM words") == "before"
            database.sql("INSERT INTO words VALUES ('on the new timeline')")
            for kind in ("full", "full"):
                taken = database.take(kind)
                assert taken.returncode == 0, taken.stderr
            assert "2 are kept" in taken.stdout
            again = database.elsewhere("again").script("drill")
            assert again.returncode == 0, again.stderr
