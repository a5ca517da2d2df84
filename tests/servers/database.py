"""A PostgreSQL that archives into a real object store, over TLS, with the scripts of its image: all on loopback."""

import json
import os
import shutil
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.exceptions import BotoCoreError

from components import buckets
from tests.processes import as_user, eventually, folder_of, free_port, program, running

IMAGE = Path(__file__).parents[2] / "images" / "postgres"
POSTGRES_BINARIES = Path("/usr/lib/postgresql/15/bin")
PASSWORD = "only-for-this-test"
KEY = "an encryption key only for this test"
BUCKET, OWNER, ADDER, KEEPER = "backups", "owner", "backups", "backups-keeper"


@dataclass(frozen=True)
class Place:
    """Where a database and its backups are: folders, ports, and the environment of its containers."""

    folder: Path
    gateway: int
    port: int
    server: int
    changed: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def data(self) -> Path:
        return self.folder / "volume" / "pgdata"

    @property
    def objects(self) -> Path:
        """Where the gateway keeps the objects of the bucket."""
        return self.folder / "objects" / BUCKET

    @property
    def trust(self) -> Path:
        return self.folder / "tls" / "ca.crt"

    @property
    def environment(self) -> dict[str, str]:
        """What a container of the image is told: the object store, the key, the primary, the servers to read from."""
        return {
            "PATH": f"{self.folder / 'bin'}:{POSTGRES_BINARIES}:{os.environ['PATH']}",
            "LANG": "C.UTF-8",
            "PGDATA": str(self.data),
            "PGHOST": str(self.folder / "socket"),
            "PGPORT": str(self.port),
            "OBJECTS_ENDPOINT": f"localhost:{self.gateway}",
            "OBJECTS_REGION": "us-east-1",
            "OBJECTS_BUCKET": BUCKET,
            "OBJECTS_CA_FILE": str(self.trust),
            "OBJECTS_KEY_ID": ADDER,
            "OBJECTS_KEY": PASSWORD,
            "BACKUPS_ENCRYPTION_KEY": KEY,
            "PGBACKREST_LOCK_PATH": str(self.folder / "lock"),
            "PGBACKREST_IO_TIMEOUT": "5",
            "PGBACKREST_JOB_RETRY": "0",  # what is damaged stays so; each attempt is 15 s later than the last
            "POSTGRES_HOST": "localhost",
            "POSTGRES_PORT": str(self.port),
            "POSTGRES_DATABASE": "platform",
            "POSTGRES_USERNAME": "backups",
            "POSTGRES_PASSWORD": PASSWORD,
            "POSTGRES_CA_FILE": str(self.trust),
            **self.changed,
        }

    def told(self, **changed: str) -> "Place":
        """Return the same place, whose containers are told something else."""
        return replace(self, changed={**self.changed, **changed})

    def elsewhere(self, name: str) -> "Place":
        """Return an empty volume of another server beside this one, with the same bucket."""
        folder = self.folder / name
        (folder / "pgdata").parent.mkdir()
        owned(folder)
        (folder / "socket").mkdir()
        owned(folder / "socket")
        return self.told(PGDATA=str(folder / "pgdata"), PGHOST=str(folder / "socket"), PGPORT=str(free_port()))

    def around(self, program: str, script: str) -> "Place":
        """Return the same place, where `program` is this script; the real one is `$real` in it."""
        folder = self.folder / f"around-{program}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        real = shutil.which(program, path=self.environment["PATH"])
        (folder / program).write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
        for path in (folder, folder / program):
            path.chmod(0o755)
        return self.told(PATH=f"{folder}:{self.environment['PATH']}")

    def command(self, *command: str) -> list[str]:
        """Return a command as a container of the image would run it."""
        return [*as_user("postgres"), "sh", "-euc", '. backup-environment; exec "$@"', "sh", *command]

    def run(self, *command: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a container of the image would."""
        return subprocess.run(
            self.command(*command),
            env={**self.environment, **changed},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def script(self, name: str, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run one of the image's scripts about backups."""
        return self.run("/usr/bin/python3", str(self.folder / "scripts" / f"{name}.py"), *arguments, **changed)

    def take(self, kind: str, **changed: str) -> subprocess.CompletedProcess[str]:
        """Run the Job that takes a backup."""
        tls = {"BACKUPS_SERVERS": f"localhost:{self.server}", "BACKUPS_TLS": str(self.folder / "tls")}
        return self.script("take", kind, **{"OBJECTS_KEY_ID": KEEPER, "BACKUPS_KEEP_FULL": "2", **tls, **changed})

    def s3(self, account: str = OWNER) -> Any:
        """Return a client of the object store."""
        connect: Any = cast("Any", boto3).client
        return connect(
            "s3",
            endpoint_url=f"https://localhost:{self.gateway}",
            region_name="us-east-1",
            aws_access_key_id=account,
            aws_secret_access_key=PASSWORD,
            verify=str(self.trust),
        )

    def sql(self, statement: str, database: str = "platform") -> str:
        """Run statements as the superuser, through the socket, and return what they print."""
        command = ["psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
        done = self.run(*command, f"--dbname={database}", f"--command={statement}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def archived(self) -> None:
        """Await that everything written so far is in the archive."""
        last = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        reached = "SELECT coalesce(max(last_archived_wal), '') >= '{}' FROM pg_stat_archiver"
        eventually(lambda: self.sql(reached.format(last)) == "t", f"{last} is archived", 60)


def owned(path: Path) -> None:
    """Give a file to the server's user."""
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


@contextmanager
def served(place: Place, *, archives: bool = True, standby: bool = False) -> Generator[None]:
    """Run the server until the block ends, and then stop it as an orderly shutdown does, with everything archived."""
    certificate = {
        "ssl": "on",
        "ssl_cert_file": place.folder / "tls/tls.crt",
        "ssl_key_file": place.folder / "tls/tls.key",
    }
    options = {
        "archive_mode": "on" if archives else "off",
        "archive_command": "pgbackrest archive-push %p",
        "listen_addresses": "localhost",
        "unix_socket_directories": place.environment["PGHOST"],
        "port": place.environment["PGPORT"],
        "fsync": "off",
        "archive_timeout": "2s",
        "wal_keep_size": "128MB",
        "timezone": "UTC",
        **certificate,
    }
    command = ["postgres", "-D", place.environment["PGDATA"]]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    script = '. backup-environment; exec "$@"'
    log = place.folder / "postgres.log"
    with running([*as_user("postgres"), "sh", "-euc", script, "sh", *command], log, place.environment) as process:
        ready = [
            "psql",
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--dbname=postgres",
            "--command=SELECT pg_is_in_recovery()",
        ]

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            return place.run(*ready).stdout.strip() == ("t" if standby else "f")

        eventually(answers, "PostgreSQL has replayed what it must, and answers", 60)
        yield
        process.send_signal(2)  # a fast shutdown


@contextmanager
def place(binaries: Path) -> Generator[Place]:
    """Run the object store, with its bucket and accounts; the database is made, and prepared by the image's own statements."""
    with folder_of("postgres") as folder:
        found = Place(folder, free_port(), free_port(), free_port())
        for name in ("bin", "scripts", "tls", "volume", "socket"):
            (folder / name).mkdir()
            owned(folder / name)
        _scripts(folder)
        _certificates(folder / "tls")
        with _object_store(found, binaries / "versitygw"), _reader(found):
            initdb = ["initdb", "--no-sync", "--username=postgres", "--auth-local=peer", "--auth-host=scram-sha-256"]
            made = found.run(*initdb, "--data-checksums", f"--pgdata={found.data}")
            assert made.returncode == 0, made.stderr
            with served(found):
                roles = ("monitoring", "backups")
                found.sql("; ".join(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'" for role in roles), "postgres")
                found.sql("CREATE DATABASE platform", "postgres")
                # Its copy, for the server's user may not be allowed to read the clone.
                prepare = [
                    "psql",
                    "--quiet",
                    "--set=ON_ERROR_STOP=1",
                    "--dbname=platform",
                    f"--file={folder}/records.sql",
                ]
                done = found.run(*prepare)
                assert done.returncode == 0, done.stderr
            yield found


def _scripts(folder: Path) -> None:
    shutil.copytree(IMAGE / "backups", folder / "scripts", dirs_exist_ok=True)
    shutil.copy(IMAGE / "records.sql", folder / "records.sql")
    for name in ("backup-environment", "backups"):
        shutil.copy(IMAGE / f"{name}.sh", folder / "bin" / name)


def _certificates(folder: Path) -> None:
    """Make an authority, and certificates for localhost that prove a client as well: postgres-backup, and somebody else."""
    openssl = program("openssl", "openssl")
    curve = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    authority = [openssl, "req", *curve, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"]
    subprocess.run(authority, cwd=folder, check=True, capture_output=True)
    for client, files in (("postgres-backup", folder), ("somebody", folder.parent / "other")):
        files.mkdir(exist_ok=True)
        leaf = [openssl, "req", *curve, "-subj", f"/CN={client}", "-addext", "subjectAltName=DNS:localhost"]
        leaf += ["-addext", "basicConstraints=critical,CA:FALSE", "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key"]
        subprocess.run([*leaf, "-keyout", "tls.key", "-out", "tls.crt"], cwd=files, check=True, capture_output=True)
        (files / "ca.crt").write_bytes((folder / "ca.crt").read_bytes())
        (files / "tls.key").chmod(0o600)
        for file in (files, *files.iterdir()):
            owned(file)


@contextmanager
def _object_store(place: Place, binary: Path) -> Generator[None]:
    folder = place.folder
    for name in ("objects", "versions", "accounts"):
        (folder / name).mkdir()
        owned(folder / name)
    tls = ["--cert", str(folder / "tls/tls.crt"), "--key", str(folder / "tls/tls.key")]
    options = ["--port", f"127.0.0.1:{place.gateway}", "--iam-dir", str(folder / "accounts"), "--quiet", *tls]
    posix = ["posix", "--versioning-dir", str(folder / "versions"), str(folder / "objects")]
    command = [*as_user("postgres"), str(binary), *options, *posix]
    environment = {"ROOT_ACCESS_KEY_ID": OWNER, "ROOT_SECRET_ACCESS_KEY": PASSWORD, "PATH": os.environ["PATH"]}
    with running(command, folder / "gateway.log", environment) as process:

        def answers() -> bool:
            assert process.poll() is None, (folder / "gateway.log").read_text()
            try:
                place.s3().list_buckets()
            except BotoCoreError:
                return False
            return True

        eventually(answers, "the object store answers")
        _bucket(place, binary)
        yield


def _bucket(place: Place, binary: Path) -> None:
    admin = [str(binary), "admin", "--allow-insecure", "--access", OWNER, "--secret", PASSWORD]
    admin += ["--endpoint-url", f"https://localhost:{place.gateway}", "create-user", "--role", "user"]
    for account in (ADDER, KEEPER):
        subprocess.run([*admin, "--access", account, "--secret", PASSWORD], check=True, capture_output=True)
    names = {account: (account,) for account in (ADDER, KEEPER)}
    (wanted,) = [bucket for bucket in buckets.wanted("", 30, 30, names, OWNER) if bucket["name"] == BUCKET]
    policy = json.dumps({"Version": "2012-10-17", "Statement": wanted["policy"]})
    store, rule = place.s3(), {"DefaultRetention": {"Mode": wanted["lock"]["mode"], "Days": wanted["lock"]["days"]}}
    for name in (BUCKET, "empty"):
        store.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
        store.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        store.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=lock)
        store.put_bucket_policy(Bucket=name, Policy=policy.replace(f":::{BUCKET}", f":::{name}"))


@contextmanager
def _reader(place: Place) -> Generator[None]:
    """Run what lets a backup read from this server, as beside the server in its pod."""
    tls = place.folder / "tls"
    environment = {
        "PGBACKREST_TLS_SERVER_ADDRESS": "127.0.0.1",
        "PGBACKREST_TLS_SERVER_PORT": str(place.server),
        "PGBACKREST_TLS_SERVER_CERT_FILE": str(tls / "tls.crt"),
        "PGBACKREST_TLS_SERVER_KEY_FILE": str(tls / "tls.key"),
        "PGBACKREST_TLS_SERVER_CA_FILE": str(tls / "ca.crt"),
        "PGBACKREST_TLS_SERVER_AUTH": "postgres-backup=postgres",
        "PGBACKREST_LOG_LEVEL_FILE": "off",
        "PGBACKREST_LOCK_PATH": str(place.folder / "lock"),
        "PATH": os.environ["PATH"],
    }
    command = [*as_user("postgres"), program("pgbackrest", "pgbackrest"), "server"]
    with running(command, place.folder / "reader.log", environment):
        yield
