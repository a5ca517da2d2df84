"""The entrypoints, with stand-ins for the programs they start: who is started, with what, and what is never shown."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.processes import eventually

IMAGES = Path(__file__).resolve().parents[2] / "images"
PASSWORDS = {
    f"PATRONI_{role}_PASSWORD": f"canary {role} 'quoted\"" for role in ("SUPERUSER", "REPLICATION", "REWIND", "RESTAPI")
}


@pytest.mark.parametrize(
    ("image", "arguments", "started"),
    [
        ("redis", [], "redis-server"),
        ("redis", ["redis-server"], "redis-server"),
        ("redis", ["--appendonly", "yes"], "redis-server --appendonly yes"),
        ("redis", ["/etc/redis/redis.conf"], "redis-server /etc/redis/redis.conf"),
        ("redis", ["redis-cli", "ping"], "redis-cli ping"),
        ("memcached", [], "memcached"),
        ("memcached", ["-m", "64"], "memcached -m 64"),
        ("memcached", ["memcached", "-m", "64"], "memcached -m 64"),
    ],
)
def test_arguments_mean_what_they_mean_upstream(tmp_path: Path, image: str, arguments: list[str], started: str) -> None:
    for program in ("redis-server", "redis-cli", "memcached"):
        put(tmp_path, program, 'echo "$(basename "$0") $*"')
    done = subprocess.run(
        [IMAGES / image / "entrypoint.sh", *arguments],
        env=found_in(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == started


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def found_in(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{folder}:/usr/bin:/bin", **more}


@pytest.fixture
def postgres(tmp_path: Path) -> Path:
    """Return a folder with a stand-in for Patroni, which records its arguments, and an empty volume."""
    put(tmp_path, "patroni", f'echo "patroni $*" > {tmp_path}/calls')
    (tmp_path / "pgdata").mkdir(mode=0o2770)
    return tmp_path


def start(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    put(folder, "backup-environment", "")
    environment = found_in(folder, PGDATA=f"{folder}/pgdata", PATRONI_SCOPE="postgres", PATRONI_NAME="postgres-0")
    environment["OBJECTS_ENDPOINT"] = "objects:7070"
    command = ["sh", str(IMAGES / "postgres/entrypoint.sh"), *arguments]
    return subprocess.run(
        command, env={**environment, **PASSWORDS, **more}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("arguments", [[], ["patroni"]])
def test_patroni_runs_on_a_directory_that_nobody_else_may_enter(postgres: Path, arguments: list[str]) -> None:
    assert start(postgres, *arguments).returncode == 0
    assert (postgres / "calls").read_text() == "patroni /etc/patroni/patroni.yml\n"
    assert (postgres / "pgdata").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("name", ["PATRONI_SCOPE", "PATRONI_NAME", "OBJECTS_ENDPOINT", *PASSWORDS])
def test_a_missing_setting_is_named_and_nothing_is_started(postgres: Path, name: str) -> None:
    done = start(postgres, "patroni", **{name: ""})
    assert done.returncode != 0
    assert f"{name}: is not set" in done.stderr
    assert "canary" not in done.stdout + done.stderr
    assert not (postgres / "calls").exists()


def test_patroni_and_its_server_are_told_of_a_renewed_certificate(postgres: Path) -> None:
    """As soon as Patroni, which the entrypoint becomes, listens to its signals."""
    told, asked, ready = (postgres / name for name in ("told", "asked", "ready"))
    put(postgres, "watch-certificate", f'until [ -e {ready} ]; do sleep 0.02; done; "$@"')
    put(postgres, "psql", f'echo "$*" >{asked}')
    wait = f"looks=500; until [ -e {told} -a -e {asked} ]; do sleep 0.02; looks=$((looks - 1)); [ $looks != 0 ] || exit 1; done"
    put(postgres, "patroni", f'trap "echo reload >{told}" HUP; touch {ready}; {wait}')
    assert start(postgres).returncode == 0
    assert told.exists()
    assert "SELECT pg_reload_conf()" in asked.read_text()


def test_another_command_is_run_as_it_is(postgres: Path) -> None:
    assert start(postgres, "echo", "hello").stdout == "hello\n"
    assert not (postgres / "calls").exists()


def test_a_restore_that_was_asked_for_puts_the_data_aside_once(postgres: Path) -> None:
    (postgres / "pgdata" / "rows").write_text("old")
    assert start(postgres, RESTORE_NUMBER="2").returncode == 0
    assert (postgres / "pgdata.before" / "rows").read_text() == "old"
    assert not (postgres / "pgdata").exists()
    (postgres / "pgdata").mkdir()
    (postgres / "pgdata" / "rows").write_text("restored")
    for _ in range(2):  # the number stays, and so does what was restored
        assert start(postgres, RESTORE_NUMBER="2").returncode == 0
    assert (postgres / "pgdata" / "rows").read_text() == "restored"


def test_what_an_earlier_restore_has_put_aside_stays(postgres: Path) -> None:
    for number, rows in (("2", "old"), ("10", "restored"), ("11", "restored again")):
        (postgres / "pgdata").mkdir(exist_ok=True)
        (postgres / "pgdata" / "rows").write_text(rows)
        assert start(postgres, RESTORE_NUMBER=number).returncode == 0
    aside = {path.name: (path / "rows").read_text() for path in postgres.glob("pgdata*")}
    assert aside == {"pgdata.before": "old", "pgdata.before-10": "restored", "pgdata.before-11": "restored again"}


def test_a_restore_interrupted_before_its_number_was_noted_keeps_what_was_there(postgres: Path) -> None:
    (postgres / "pgdata").rename(postgres / "pgdata.before")
    (postgres / "pgdata.before" / "rows").write_text("old")
    assert start(postgres, RESTORE_NUMBER="1").returncode == 0
    assert (postgres / "pgdata.before" / "rows").read_text() == "old"
    assert (postgres / "restored").read_text() == "1\n"


def test_a_restore_after_one_that_was_killed_keeps_what_was_there_before_both(postgres: Path) -> None:
    put(postgres, "python", "exit 0")
    (postgres / "pgdata" / "rows").write_text("old")
    assert start(postgres, RESTORE_NUMBER="1").returncode == 0
    (postgres / "bootstrapping").touch()
    (postgres / "pgdata").mkdir()
    (postgres / "pgdata" / "rows").write_text("half")
    assert start(postgres, RESTORE_NUMBER="2").returncode == 0
    assert (postgres / "pgdata.before" / "rows").read_text() == "old"
    assert not (postgres / "pgdata").exists()


def test_without_a_restore_nothing_is_moved(postgres: Path) -> None:
    (postgres / "pgdata" / "rows").write_text("here")
    for number in ("", "0"):
        assert start(postgres, RESTORE_NUMBER=number).returncode == 0
    assert (postgres / "pgdata" / "rows").read_text() == "here"


@pytest.mark.parametrize("filled", [True, False])
def test_a_first_start_that_was_killed_begins_again(postgres: Path, filled: bool) -> None:
    """And lets the others know; a failed one took its directory away, and has already let them know."""
    put(postgres, "python", f'echo "$*" > {postgres}/gave-up')
    (postgres / "bootstrapping").touch()
    (postgres / "pgdata.failed").mkdir()
    if not filled:
        (postgres / "pgdata").rmdir()
    assert start(postgres).returncode == 0
    assert not (postgres / "pgdata").exists()
    assert not (postgres / "pgdata.failed").exists()
    assert not (postgres / "bootstrapping").exists()
    assert (postgres / "gave-up").exists() is filled


@pytest.fixture
def psql(tmp_path: Path) -> Path:
    """Return a folder with a stand-in for psql, which records its arguments and environment."""
    put(tmp_path, "psql", f'echo "psql $*" > {tmp_path}/calls; env > {tmp_path}/environment')
    return tmp_path


LOGINS = {
    "POSTGRES_HOST": "db",
    "POSTGRES_DATABASE": "platform",
    "POSTGRES_USERNAME": "postgres",
    "POSTGRES_PASSWORD": "canary of the superuser",
    "POSTGRES_CA_FILE": "/etc/trust/ca.crt",
    "POSTGRES_LOGINS": '{"application": "canary of the application"}',
}


def apply_logins(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = str(IMAGES / "postgres/apply-logins.sh")
    return subprocess.run(
        ["sh", script], env=found_in(folder, **environment), capture_output=True, text=True, check=False
    )


def test_logins_are_applied_once_the_server_answers_and_passwords_are_on_no_command_line(psql: Path) -> None:
    put(psql, "pg_isready", f"test -e {psql}/asked || {{ touch {psql}/asked; exit 2; }}")
    done = apply_logins(psql, **LOGINS)
    assert done.returncode == 0, done.stderr
    assert "canary" not in (psql / "calls").read_text() + done.stdout + done.stderr
    environment = (psql / "environment").read_text().splitlines()
    assert {"PGHOST=db", "PGUSER=postgres", "PGPASSWORD=canary of the superuser"} <= set(environment)


@pytest.mark.parametrize("name", ["POSTGRES_HOST", "POSTGRES_DATABASE", "POSTGRES_PASSWORD", "POSTGRES_LOGINS"])
def test_logins_without_a_setting_are_not_tried(psql: Path, name: str) -> None:
    done = apply_logins(psql, **{**LOGINS, name: ""})
    assert done.returncode != 0
    assert f"{name}: is not set" in done.stderr
    assert not (psql / "calls").exists()


def test_what_backups_read_through_is_started_again_told_of_a_renewal_and_ended(tmp_path: Path) -> None:
    """The container goes on when pgBackRest ends, or its pod and the database in it would be out of service."""
    calls = tmp_path / "calls"
    put(tmp_path, "watch-certificate", "")
    put(tmp_path, "pgbackrest", f"trap 'echo told >>{calls}' HUP; echo $$ >>{calls}; while :; do sleep 0.1; done")

    def said(count: int) -> list[str]:
        return eventually(lambda: (all_of := lines(calls))[count - 1 :] and all_of, f"{count} lines in {calls}")

    environment = found_in(tmp_path, PGBACKREST_TLS_SERVER_AUTH="postgres-backup=postgres")
    with subprocess.Popen([IMAGES / "postgres/serve-files.sh"], env=environment, stderr=subprocess.PIPE) as script:
        try:
            (first,) = said(1)
            os.kill(int(first), signal.SIGKILL)
            second = said(2)[1]
            assert second != first

            def told() -> list[str]:
                script.send_signal(signal.SIGHUP)  # until the script has noted which server it has now
                return lines(calls)[2:]

            assert set(eventually(told, "its server is told")) == {"told"}
            script.terminate()
            assert script.wait(10) == 0
            eventually(lambda: not Path(f"/proc/{second}").exists(), "its server has ended with it")
        finally:
            script.kill()
        assert script.stderr
        assert "started again" in script.stderr.read().decode()


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []
