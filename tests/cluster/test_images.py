"""The images as they were built: no setuid program, nothing of this machine, and a database that a kill cannot break.

They run in a namespace of their own in the node's containerd, with what a restricted pod has: a read-only root, no capability,
one writable volume and /tmp.
"""

import functools
import json
import os
import random
import subprocess
import tarfile
from collections.abc import Generator
from pathlib import Path

import pytest

from local import cache, images
from local.images import archive
from local.images.image import Image
from local.node.layout import CONTAINERD_SOCKET
from tests.cluster.conftest import Node, eventually

NAMESPACE = "images-test"
CONTROL = ["ctr", "--address", str(CONTAINERD_SOCKET), "--namespace", NAMESPACE]
CAPABILITIES = "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
PASSWORDS = {
    f"POSTGRES_{role}_PASSWORD": f"{role.lower()} 'quoted\"" for role in ("SUPERUSER", "MIGRATION", "APPLICATION")
}


@pytest.fixture(scope="module")
def built(node: Node) -> dict[str, Image]:
    """Return the images of this machine's platform by name; they are all in the cache."""
    return {image.name: image for image in images.build(node.binaries, lambda _text: None)}


@functools.cache
def forbidden(layer: Path) -> list[str]:
    """Return the setuid programs and the package sources in a layer; most images share theirs, so each is read once."""
    with tarfile.open(layer, mode="r:gz") as packed:
        return [
            member.name
            for member in packed
            if (member.isfile() and member.mode & 0o6000)
            or (member.name.startswith("etc/apt/sources.list") and not member.isdir())
        ]


@pytest.mark.parametrize("name", images.NAMES)
def test_no_image_has_a_setuid_program_or_this_machines_package_sources(built: dict[str, Image], name: str) -> None:
    blobs = (cache.ROOT / "layers").glob("layer-*/*")
    by_digest = {f"sha256:{blob.name}": blob for blob in blobs}
    assert [found for digest in archive.layers(built[name].archive) for found in forbidden(by_digest[digest])] == []


@pytest.mark.parametrize("name", images.NAMES)
def test_every_image_runs_as_a_numbered_user(built: dict[str, Image], name: str) -> None:
    blobs = built[name].archive / "blobs" / "sha256"
    (entry,) = json.loads((built[name].archive / "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / entry["digest"].partition(":")[2]).read_text())
    user = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_text())["config"]["User"]
    assert int(user.partition(":")[0]) > 0


class Postgres:
    """The postgres image, started and killed at will on one volume."""

    def __init__(self, image: Image, folder: Path) -> None:
        self.image, self.data = image, folder / "data"
        self.data.mkdir()
        os.chown(self.data, 999, 999)
        self.environment = folder / "environment"
        self.set(POSTGRES_DATABASE="platform", **PASSWORDS)
        self.count = 0

    def set(self, **environment: str) -> None:
        self.environment.write_text("".join(f"{name}={value}\n" for name, value in environment.items()))

    def start(self) -> subprocess.Popen[bytes]:
        self.count += 1
        command = [*CONTROL, "run", "--rm", "--read-only", "--env-file", str(self.environment)]
        command += [word for name in CAPABILITIES.split() for word in ("--cap-drop", f"CAP_{name}")]
        command += ["--mount", f"type=bind,src={self.data},dst=/data,options=rbind:rw"]
        command += ["--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=nosuid:nodev:mode=1777"]
        command += [f"docker.io/{self.image.reference}", self.name, "docker-entrypoint.sh", "postgres"]
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @property
    def name(self) -> str:
        return f"postgres-{self.count}"

    def kill(self, process: subprocess.Popen[bytes], by: str) -> int:
        subprocess.run([*CONTROL, "task", "kill", "--signal", by, self.name], capture_output=True, check=False)
        return process.wait(60)

    def query(self, role: str, sql: str, password: str) -> str:
        words = [
            *CONTROL,
            "task",
            "exec",
            "--exec-id",
            f"q{random.random()}",
            self.name,
            "env",
            f"PGPASSWORD={password}",
        ]
        words += ["psql", "-AtX", "-h", "127.0.0.1", "-U", role, "-d", "platform", "-c", sql]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else done.stderr.strip()

    def running(self) -> bool:
        listed = subprocess.run([*CONTROL, "task", "list", "--quiet"], capture_output=True, text=True, check=True)
        return self.name in listed.stdout.split()


@pytest.fixture(scope="module")
def loaded(built: dict[str, Image]) -> Generator[Image]:
    images.load([built["postgres"]], CONTAINERD_SOCKET, NAMESPACE, lambda _text: None)
    yield built["postgres"]
    listed = subprocess.run([*CONTROL, "images", "list", "--quiet"], capture_output=True, text=True, check=True)
    subprocess.run([*CONTROL, "images", "remove", "--sync", *listed.stdout.split()], capture_output=True, check=True)


@pytest.fixture
def postgres(loaded: Image, tmp_path: Path) -> Generator[Postgres]:
    server = Postgres(loaded, tmp_path)
    yield server
    if server.running():
        subprocess.run([*CONTROL, "task", "kill", "--signal", "SIGKILL", server.name], capture_output=True, check=True)
        eventually("the container is gone", lambda: not server.running())


def test_the_database_survives_a_kill_at_any_point_of_its_first_start(postgres: Postgres) -> None:
    points = random.Random(1)
    for _kill in range(6):
        process = postgres.start()
        eventually("the container runs", postgres.running)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(points.uniform(0.05, 2.0))
        postgres.kill(process, "SIGKILL")
    process = postgres.start()
    application = PASSWORDS["POSTGRES_APPLICATION_PASSWORD"]
    eventually("the roles work", lambda: postgres.query("application", "select 42", application) == "42")
    assert os.listdir(postgres.data) == ["pgdata"]  # noqa: PTH208
    assert postgres.kill(process, "SIGINT") == 0


def test_passwords_follow_the_environment_and_the_application_cannot_change_the_schema(postgres: Postgres) -> None:
    process = postgres.start()
    migration, application = (PASSWORDS[f"POSTGRES_{role}_PASSWORD"] for role in ("MIGRATION", "APPLICATION"))
    eventually(
        "it answers",
        lambda: postgres.query("migration", "create table t (i int); select 1", migration) == "CREATE TABLE\n1",
    )
    assert postgres.query("application", "insert into t values (7) returning i", application).startswith("7")
    assert "permission denied" in postgres.query("application", "create table u (i int)", application)
    assert "authentication failed" in postgres.query("application", "select 1", "wrong")
    assert postgres.kill(process, "SIGINT") == 0
    postgres.set(POSTGRES_DATABASE="platform", **{**PASSWORDS, "POSTGRES_APPLICATION_PASSWORD": "changed"})
    process = postgres.start()
    eventually("the new password works", lambda: postgres.query("application", "select i from t", "changed") == "7")
    assert "authentication failed" in postgres.query("application", "select 1", application)
    postgres.kill(process, "SIGINT")
