"""Real servers from Debian's packages, on loopback, set up as the platform does: PostgreSQL, Redis, Memcached."""

import json
import os
import secrets
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.processes import as_user, eventually, folder_of, free_port, listens, program, running

POSTGRES_BINARIES = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "only-for-this-test"
_IMAGE = Path(__file__).parents[2] / "images" / "postgres"
# Exactly what the workload uses: a command that is missing here would be missing in the platform's ACL file too.
REDIS_ACL = (
    f"user default off\nuser admin on >{PASSWORD} ~* +@all\n"
    f"user application on >{PASSWORD} resetkeys ~jobs:* -@all +ping +xadd +xreadgroup +xack +xdel +xautoclaim"
    " +xgroup +xinfo +xrange +xlen\n"
)


@dataclass
class PostgresServer:
    """A PostgreSQL that can die and come back."""

    port: int
    data: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*as_user("postgres"), program("postgres", "postgresql-15", POSTGRES_BINARIES), "-D", str(self.data)]
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "fsync": "off"}
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        with (self.data.parent / f"{self.data.name}.log").open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        eventually(self._answers, "PostgreSQL answers")

    def stop(self) -> None:
        """At once, as when its machine dies."""
        if self.process:
            self.process.kill()
            self.process.wait()
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.data.parent / f"{self.data.name}.log").read_text()
        try:
            self.admin("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def audited(self) -> None:
        """Start it anew with the libraries that the program has PostgreSQL load, which the image's statements need."""
        self.admin("ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements', 'pgaudit'")
        self.stop()
        self.start()

    def statements(self, name: str, logins: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run one of the image's files about logins, told these, as its `apply-logins` does."""
        environment = {
            "PATH": os.environ["PATH"],
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "superuser",
            "PGPASSWORD": PASSWORD,
            "PGDATABASE": "postgres",
            "POSTGRES_DATABASE": "jobs",
            "POSTGRES_LOGINS": json.dumps(logins),
        }
        command = ["psql", "--quiet", "--no-psqlrc", f"--file={_IMAGE / name}.sql"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def admin(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        with self.connect(dbname=database) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def connect(
        self, user: str = "superuser", dbname: str = "postgres", *, autocommit: bool = True
    ) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=PASSWORD, dbname=dbname, autocommit=autocommit
        )


@contextmanager
def postgres() -> Generator[PostgresServer]:
    """Run PostgreSQL 15 with the platform's two roles and an empty database that belongs to the migrations' role."""
    initdb = program("initdb", "postgresql-15", POSTGRES_BINARIES)
    with folder_of("postgres") as folder:
        (folder / "password").write_text(PASSWORD)
        (folder / "password").chmod(0o644)
        options = ["--auth=scram-sha-256", "--no-sync", "--locale=C.UTF-8", "-U", "superuser"]
        options += [f"--pwfile={folder / 'password'}", "-D", str(folder / "primary")]
        subprocess.run([*as_user("postgres"), initdb, *options], check=True, capture_output=True, cwd="/")
        server = PostgresServer(free_port(), folder / "primary")
        try:
            server.start()
            for role in ("migration", "application"):
                server.admin(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
            server.admin("CREATE DATABASE jobs OWNER migration")
            yield server
        finally:
            server.stop()


@contextmanager
def standby(primary: PostgresServer) -> Generator[PostgresServer]:
    """Run a streaming replica of it."""
    data = primary.data.parent / f"standby-{secrets.token_hex(4)}"
    source = f"host=127.0.0.1 port={primary.port} user=superuser password={PASSWORD}"
    backup = program("pg_basebackup", "postgresql-15", POSTGRES_BINARIES)
    command = [*as_user("postgres"), backup, "-d", source, "-D", str(data), "-R", "--checkpoint=fast", "--no-sync"]
    subprocess.run(command, check=True, capture_output=True, cwd="/")
    server = PostgresServer(free_port(), data)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass
class RedisServer:
    """A Redis that can die and come back, without what it held."""

    port: int
    folder: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (self.folder / "users.acl").write_text(REDIS_ACL)
        command = [program("redis-server", "redis-server"), "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--save", "", "--dir", str(self.folder), "--aclfile", str(self.folder / "users.acl")]
        with (self.folder / "redis.log").open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        eventually(lambda: listens(self.port), "Redis answers")

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def admin(self) -> redis.Redis:
        return redis.Redis(port=self.port, username="admin", password=PASSWORD, protocol=2, decode_responses=True)


@contextmanager
def redis_server(folder: Path) -> Generator[RedisServer]:
    """Run Redis with the platform's user."""
    server = RedisServer(free_port(), folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@contextmanager
def memcached(folder: Path) -> Generator[int]:
    """Run Memcached and lend its port."""
    port = free_port()
    command = [program("memcached", "memcached"), "-l", "127.0.0.1", "-p", str(port), "-m", "8", "-u", "nobody"]
    with running(command, folder / "memcached.log"):
        eventually(lambda: listens(port), "Memcached answers")
        yield port
