"""Keeps files in a bucket, where nobody can read them, change them or cut them short unseen without the key.

    encrypted.py store FILE    encrypts it, puts it into the bucket under a new name and reads it back
    encrypted.py expire        removes all but the newest BACKUPS_KEEP, and lists those
    encrypted.py fetch FILE    gets the one that BACKUP names, or the newest, and decrypts it if it is whole

An object is what `openssl enc` makes, then its SHA-256, then a proof, made with the key, of the object's name and that checksum:
encryption alone does not show that something was changed.
"""

import hashlib
import hmac
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.client import Config
from botocore.exceptions import BotoCoreError, ClientError

NEWEST = "newest"
_NAMES = re.compile(r"\d{8}T\d{6}Z\.aes")
_CIPHER = ("-aes-256-cbc", "-pbkdf2", "-iter", "600000", "-md", "sha256", "-pass", "env:BACKUPS_ENCRYPTION_KEY")
_TAIL = 64
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The part of a bucket that one kind of backup has to itself."""

    s3: Any
    bucket: str
    prefix: str

    def names(self) -> Mapping[str, int]:
        """Return the names and sizes of the backups there, the oldest first."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        found = {
            item["Key"].removeprefix(self.prefix): item["Size"] for page in pages for item in page.get("Contents", [])
        }
        return {name: found[name] for name in sorted(found) if _NAMES.fullmatch(name)}

    def put(self, name: str, file: Path) -> None:
        """Put a file there, and read it back.

        Raises SystemExit, with the reason, if what is there is not what was put.
        """
        # One part after the other: several at a time take several times the memory.
        serial = TransferConfig(use_threads=False)
        self.s3.upload_file(str(file), self.bucket, self.prefix + name, Config=serial)
        size, checksum = 0, hashlib.sha256()
        for chunk in self._body(name).iter_chunks(_CHUNK):
            size += len(chunk)
            checksum.update(chunk)
        if size != file.stat().st_size:
            raise SystemExit(f"{self.prefix}{name}: {size} bytes are there, of {file.stat().st_size}")
        if checksum.digest() != _checksum(file):
            raise SystemExit(f"{self.prefix}{name}: what is there is not what was put there")

    def get(self, name: str, file: Path) -> None:
        """Get an object into a file."""
        with file.open("wb") as to:
            shutil.copyfileobj(self._body(name), to, _CHUNK)

    def remove(self, name: str) -> None:
        """Remove an object from the list; a locked bucket keeps its version."""
        self.s3.delete_object(Bucket=self.bucket, Key=self.prefix + name)

    def _body(self, name: str) -> Any:
        return self.s3.get_object(Bucket=self.bucket, Key=self.prefix + name)["Body"]


def store(shelf: Shelf, plain: Path, key: str) -> None:
    """Encrypt a file and put it there."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.aes"
    sealed = plain.with_name(name)
    _openssl("-e", plain, sealed)
    checksum = _checksum(sealed)
    with sealed.open("ab") as file:
        file.write(checksum + _proof(key, name, checksum))
    shelf.put(name, sealed)
    print(f"{shelf.prefix}{name}: {sealed.stat().st_size} bytes, stored and read back")
    sealed.unlink()


def expire(shelf: Shelf, keep: int) -> None:
    """Remove all but the newest."""
    found = shelf.names()
    for name in list(found)[:-keep]:
        shelf.remove(name)
        print(f"{shelf.prefix}{name}: removed; its version goes when the bucket's lock lets it go")
    for name in list(found)[-keep:]:
        print(f"{shelf.prefix}{name}: kept, {found[name]} bytes")


def fetch(shelf: Shelf, wanted: str, plain: Path, key: str) -> None:
    """Get a backup and decrypt it, if it is whole.

    Raises SystemExit, with the reason, if it is not; nothing is decrypted then.
    """
    found = list(shelf.names())
    name = found[-1] if wanted == NEWEST and found else wanted.removeprefix(shelf.prefix)
    if name not in found:
        raise SystemExit(f"{shelf.prefix}{name}: there is no such backup; there are: {', '.join(found) or 'none'}")
    sealed = plain.with_name(name)
    shelf.get(name, sealed)
    body = max(0, sealed.stat().st_size - _TAIL)
    with sealed.open("rb+") as file:
        file.seek(body)
        tail = file.read()
        file.truncate(body)
    checksum = _checksum(sealed)
    if tail[:32] != checksum:
        raise SystemExit(f"{shelf.prefix}{name}: damaged or cut short, its checksum is wrong; nothing was restored")
    if not hmac.compare_digest(tail[32:], _proof(key, name, checksum)):
        raise SystemExit(f"{shelf.prefix}{name}: encrypted with another key, or another backup's; nothing was restored")
    _openssl("-d", sealed, plain)
    sealed.unlink()
    print(f"{shelf.prefix}{name}: whole, {plain.stat().st_size} bytes decrypted")


def _proof(key: str, name: str, checksum: bytes) -> bytes:
    return hmac.digest(key.encode(), name.encode() + checksum, "sha256")


def _checksum(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _openssl(direction: str, source: Path, target: Path) -> None:
    done = subprocess.run(
        ["openssl", "enc", direction, *_CIPHER, "-in", source, "-out", target],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"openssl enc {direction}: {done.stderr.strip()}")


def _shelf() -> Shelf:
    connect: Any = cast("Any", boto3).client
    s3 = connect(
        "s3",
        endpoint_url=f"https://{os.environ['OBJECTS_ENDPOINT']}",
        region_name=os.environ["OBJECTS_REGION"],
        aws_access_key_id=os.environ["OBJECTS_KEY_ID"],
        aws_secret_access_key=os.environ["OBJECTS_KEY"],
        verify=os.environ["OBJECTS_CA_FILE"],
        # Patient for about a minute: a new pod's packets are refused until the network has heard of the pod.
        config=Config(
            connect_timeout=3,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 8},
            s3={"addressing_style": "path"},
            # The checksums here are of our own, and say which object is damaged.
            response_checksum_validation="when_required",
        ),
    )
    return Shelf(s3=s3, bucket=os.environ["OBJECTS_BUCKET"], prefix=os.environ["BACKUPS_PREFIX"])


def main(verb: str, *files: str) -> None:
    """Do what was asked for; exit with the reason if it cannot be done."""
    shelf = _shelf()
    try:
        match verb, files:
            case "store", (file,):
                store(shelf, Path(file), os.environ["BACKUPS_ENCRYPTION_KEY"])
            case "expire", ():
                expire(shelf, int(os.environ["BACKUPS_KEEP"]))
            case "fetch", (file,):
                wanted = os.environ.get("BACKUP", NEWEST)
                fetch(shelf, wanted, Path(file), os.environ["BACKUPS_ENCRYPTION_KEY"])
            case _:
                raise SystemExit(__doc__)
    except (Boto3Error, BotoCoreError, ClientError) as error:
        raise SystemExit(f"https://{os.environ['OBJECTS_ENDPOINT']}/{shelf.bucket}: {error}") from None


if __name__ == "__main__":
    main(*sys.argv[1:])
