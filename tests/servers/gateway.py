"""The object store's gateway as the platform starts it, on loopback, with a certificate of the test's own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import boto3
from botocore.client import Config

from components import buckets
from components.object_store import start
from tests.processes import eventually, free_port, listens
from tests.render import ROOT

PROGRAM = ROOT / "images" / "buckets" / "apply_buckets.py"
REGION = "us-east-1"
OWNER = "owner"


def s3(port: int, key_id: str, key: str, trust: Path | None, **options: Any) -> Any:
    """Return a client that asks once and does not wait."""
    connect: Any = cast("Any", boto3).client
    return connect(
        "s3",
        endpoint_url=f"https://localhost:{port}" if trust else f"http://localhost:{port}",
        region_name=REGION,
        aws_access_key_id=key_id,
        aws_secret_access_key=key,
        verify=str(trust) if trust else None,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, **options),
    )


def certify(folder: Path, serial: int) -> None:
    """Put a certificate and its key for this machine's loopback into a folder, in place of another."""
    folder.mkdir(exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=objects", "-addext", "subjectAltName=DNS:localhost", "-days", "1"]
    command += ["-set_serial", str(serial), "-keyout", str(folder / "new.key"), "-out", str(folder / "new.crt")]
    subprocess.run(command, check=True, capture_output=True)
    for kind in ("key", "crt"):
        (folder / f"new.{kind}").rename(folder / f"tls.{kind}")


@dataclass
class Gateway:
    """A gateway, and what its owner has in mind for it."""

    folder: Path
    binaries: Path
    port: int = field(default_factory=free_port)
    owner_key: str = "the-owners-key"
    keys: dict[str, str] = field(default_factory=lambda: {name: f"the-key-of-{name}" for name in buckets.ACCOUNTS})

    def __post_init__(self) -> None:
        certify(self.folder / "tls", 1)

    @property
    def trust(self) -> Path:
        return self.folder / "tls" / "tls.crt"

    def client(self, user: str, key: str | None = None) -> Any:
        """Return an account's client."""
        known = {OWNER: self.owner_key, **self.keys}
        # A body with a checksum behind it is sent in chunks, and the gateway hangs up on one that it refuses before it is whole.
        return s3(self.port, user, key or known[user], self.trust, request_checksum_calculation="when_required")

    @contextmanager
    def running(self) -> Generator[None]:
        """Run it as its pod does, and end it as the kubelet does."""
        command = start(str(self.folder / "data"), str(self.folder / "tls"), port=self.port, seconds=1)
        environment = {
            "PATH": f"{self.binaries}{os.pathsep}{os.environ['PATH']}",
            "ROOT_ACCESS_KEY_ID": OWNER,
            "ROOT_SECRET_ACCESS_KEY": self.owner_key,
        }
        log = self.folder / "log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            eventually(lambda: listens(self.port) or process.poll() is not None, "the gateway listens")
            assert process.poll() is None, log.read_text()
            yield
            process.terminate()
            assert process.wait(20) == 0, log.read_text()
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def document(self) -> Mapping[str, Any]:
        """Return what the platform's program would say of it."""
        names = {name: (name,) for name in self.keys}
        return {"accounts": self.keys, "buckets": buckets.wanted("", 30, buckets.FOREVER, names, OWNER)}

    def environment(self, document: Mapping[str, Any] | None = None) -> dict[str, str]:
        """Return the environment of the Job."""
        wanted = self.document() if document is None else document
        return environment(f"localhost:{self.port}", OWNER, self.owner_key, self.trust, wanted)

    def apply(self, document: Mapping[str, Any] | None = None) -> Sequence[str]:
        """Run the Job's program to its end, and return the changes it says it made."""
        return apply(self.environment(document))


@dataclass(frozen=True)
class Aws:
    """The stand-in for AWS S3, which knows nobody's keys and lets everybody in."""

    port: int
    trust: Path

    def client(self) -> Any:
        """Return a client of whoever owns the buckets."""
        return s3(self.port, "anyone", "anything", self.trust)

    def apply(self, document: Mapping[str, Any]) -> Sequence[str]:
        """Run the Job's program to its end, and return the changes it says it made."""
        return apply(environment(f"localhost:{self.port}", "anyone", "anything", self.trust, document))


def environment(endpoint: str, key_id: str, key: str, trust: Path, document: Mapping[str, Any]) -> dict[str, str]:
    """Return what the Job's program needs to know."""
    return {
        "PATH": os.environ["PATH"],
        "OBJECTS_ENDPOINT": endpoint,
        "OBJECTS_REGION": REGION,
        "OBJECTS_KEY_ID": key_id,
        "OBJECTS_KEY": key,
        "OBJECTS_CA_FILE": str(trust),
        "OBJECTS_BUCKETS": json.dumps(document),
    }


def apply(given: Mapping[str, str]) -> Sequence[str]:
    """Run the Job's program to its end, and return the changes it says it made."""
    ran = subprocess.run([sys.executable, PROGRAM], env=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()
