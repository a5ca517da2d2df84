"""The entrypoints, with stand-ins for the programs they start: who is started, with what, and what is never shown."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

IMAGES = Path(__file__).resolve().parents[2] / "images"
PASSWORDS = {
    f"POSTGRES_{role}_PASSWORD": f"canary {role} 'quoted\"" for role in ("SUPERUSER", "MIGRATION", "APPLICATION")
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
    """Return a folder with stand-ins for PostgreSQL's programs, which record their arguments and make what they make."""
    record = f'echo "$(basename "$0") $*" >> {tmp_path}/calls'
    put(
        tmp_path,
        "initdb",
        f'{record}; for a; do case "$a" in --pgdata=*) mkdir -p "${{a#--pgdata=}}/base";; esac; done',
    )
    put(tmp_path, "pg_ctl", record)
    put(tmp_path, "psql", f"{record}; env > {tmp_path}/psql.environment")
    put(tmp_path, "postgres", f"{record}; env > {tmp_path}/postgres.environment")
    # The private socket's folder is under /tmp in the image; here it is this test's.
    script = (IMAGES / "postgres/entrypoint.sh").read_text().replace("/tmp/private", f"{tmp_path}/private")
    (tmp_path / "entrypoint.sh").write_text(script)
    return tmp_path


def start(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = found_in(folder, PGDATA=f"{folder}/data/pgdata", POSTGRES_DATABASE="platform", **PASSWORDS)
    (folder / "data").mkdir(exist_ok=True)
    command = ["sh", str(folder / "entrypoint.sh"), *arguments]
    return subprocess.run(command, env={**environment, **more}, capture_output=True, text=True, check=False)


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def test_a_database_is_created_once_and_its_roles_are_applied_at_every_start(postgres: Path) -> None:
    for _start in range(2):
        assert start(postgres, "postgres", "-c", "max_connections=9").returncode == 0
    programs = [call.split()[0] for call in calls(postgres)]
    assert programs == ["initdb", *["pg_ctl", "psql", "pg_ctl", "postgres"] * 2]
    assert calls(postgres)[-1].endswith("-c max_connections=9")
    assert "--data-checksums" in calls(postgres)[0]
    assert (postgres / "data/pgdata").stat().st_mode & 0o777 == 0o700


def test_passwords_are_on_no_command_line_and_the_server_never_has_them(postgres: Path) -> None:
    done = start(postgres, "postgres")
    assert "canary" not in (postgres / "calls").read_text() + done.stdout + done.stderr
    assert "canary" not in (postgres / "postgres.environment").read_text()
    for name, value in PASSWORDS.items():
        assert f"{name}={value}" in (postgres / "psql.environment").read_text()


def test_while_roles_are_applied_the_server_listens_to_nobody_else(postgres: Path) -> None:
    start(postgres, "postgres")
    (temporary,) = [call for call in calls(postgres) if call.startswith("pg_ctl start")]
    assert "listen_addresses=''" in temporary
    assert f"unix_socket_directories={postgres}/private" in temporary
    assert "PGHOST=" + str(postgres / "private") in (postgres / "psql.environment").read_text()


def test_an_initialisation_that_was_killed_is_begun_again(postgres: Path) -> None:
    put(postgres, "initdb", f"mkdir -p {postgres}/data/pgdata.partial/half; kill -KILL $PPID")
    assert start(postgres, "postgres").returncode == -signal.SIGKILL
    assert not (postgres / "data/pgdata").exists()
    put(postgres, "initdb", f"mkdir {postgres}/data/pgdata.partial")
    assert start(postgres, "postgres").returncode == 0
    assert os.listdir(postgres / "data") == ["pgdata"]  # noqa: PTH208
    assert not (postgres / "data/pgdata/half").exists()


@pytest.mark.parametrize("name", ["POSTGRES_DATABASE", *PASSWORDS])
def test_a_missing_setting_is_named_and_nothing_is_created(postgres: Path, name: str) -> None:
    done = start(postgres, "postgres", **{name: ""})
    assert done.returncode != 0
    assert f"{name}: is not set" in done.stderr
    assert not (postgres / "data/pgdata").exists()


def test_another_command_is_run_as_it_is(postgres: Path) -> None:
    assert start(postgres, "echo", "hello").stdout == "hello\n"
    assert not (postgres / "data/pgdata").exists()
