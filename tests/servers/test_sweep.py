"""What was removed long ago goes for good, and nothing else does, on the real gateway; its files are made older than they are."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from components import buckets
from tests.processes import eventually
from tests.render import ROOT
from tests.servers.gateway import OWNER, Gateway, s3

PROGRAM = ROOT / "images" / "buckets" / "sweep_versions.py"
DAYS = 30
BODY = b"content"


@pytest.fixture
def store(empty: Gateway) -> Gateway:
    empty.apply()
    return empty


def environment(store: Gateway) -> dict[str, str]:
    return store.environment() | {"OBJECTS_EXPIRY": json.dumps(buckets.expiry(DAYS))}


def sweep(store: Gateway, expect: int = 0) -> dict[str, str]:
    """Run the program, and return what it says of each bucket."""
    ran = subprocess.run([sys.executable, PROGRAM], env=environment(store), capture_output=True, text=True, check=False)
    assert ran.returncode == expect, ran.stderr
    said = (line.removeprefix("bucket ").partition(": ") for line in ran.stdout.splitlines())
    return {bucket: text for bucket, _, text in said}


def removed(versions: int = 0, size: int = 0, markers: int = 0, *, uploads: int = 0, held: int = 0) -> str:
    counts = f"removed {versions} versions, {size} bytes; {markers} markers; {uploads} unfinished uploads"
    return f"{counts}; left {held} on legal hold, 0 refused"


def age(store: Gateway, days: float) -> None:
    """Let all that is there have been there for so many days more."""
    for place, folders, files in os.walk(store.folder / "data"):
        for name in (*folders, *files):
            path = f"{place}/{name}"
            before = Path(path).stat().st_mtime
            os.utime(path, (before, before - days * 24 * 3600))


def content(store: Gateway, bucket: str) -> dict[str, Sequence[str]]:
    """Return each key of a bucket with what there is of it, the current one first."""
    found: dict[str, list[tuple[bool, str]]] = {}
    for page in store.client(OWNER).get_paginator("list_object_versions").paginate(Bucket=bucket):
        for item in page.get("Versions", []):
            text = store.client(OWNER).get_object(Bucket=bucket, Key=item["Key"], VersionId=item["VersionId"])["Body"]
            found.setdefault(item["Key"], []).append((not item["IsLatest"], text.read().decode()))
        for item in page.get("DeleteMarkers", []):
            found.setdefault(item["Key"], []).append((not item["IsLatest"], "removed"))
    return {key: [text for _, text in sorted(items)] for key, items in found.items()}


def put(store: Gateway, bucket: str, key: str, *bodies: str) -> None:
    for body in bodies:
        store.client(OWNER).put_object(Bucket=bucket, Key=key, Body=body.encode())


def remove(store: Gateway, bucket: str, key: str) -> None:
    store.client(OWNER).delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("bucket", ["files", "backups"])
def test_what_was_removed_or_written_over_goes_when_it_is_old_enough(store: Gateway, bucket: str) -> None:
    put(store, bucket, "kept", "only")
    put(store, bucket, "over", "1", "2", "3")
    put(store, bucket, "deep/er/gone", "1", "2")
    remove(store, bucket, "deep/er/gone")
    age(store, DAYS + 1)
    put(store, bucket, "over", "4")
    put(store, bucket, "young", "1", "2")
    put(store, bucket, "young gone", "1")
    remove(store, bucket, "young gone")
    assert sweep(store)[bucket] == removed(3, 3, 1)
    # The one that the last one but one wrote over stays as long as that does: on the safe side, wherever the dates are from.
    expected = {"kept": ["only"], "over": ["4", "2", "3"], "young": ["2", "1"], "young gone": ["removed", "1"]}
    assert content(store, bucket) == expected
    assert sweep(store)[bucket] == removed()
    age(store, DAYS + 1)
    assert sweep(store)[bucket] == removed(4, 4, 1)
    assert content(store, bucket) == {"kept": ["only"], "over": ["4"], "young": ["2"]}


def test_what_was_there_for_long_can_be_had_back_for_as_long_as_it_is_said(store: Gateway) -> None:
    """The gateway dates the marker like the object it hides; what counts is when it was removed."""
    put(store, "files", "old", "1")
    put(store, "files", "older", "1")
    age(store, 10 * DAYS)
    remove(store, "files", "old")
    put(store, "files", "older", "2")
    age(store, DAYS - 1)
    assert sweep(store)["files"] == removed()
    assert content(store, "files") == {"old": ["removed", "1"], "older": ["2", "1"]}


def test_logs_go_when_they_are_old_and_nothing_else_that_is_current_does(store: Gateway) -> None:
    for bucket in buckets.BUCKETS:
        put(store, bucket, "old", "1")
    put(store, "logs", "over", "1", "2")
    age(store, DAYS + 1)
    put(store, "logs", "new", "1")
    said = sweep(store)
    assert said == {"files": removed(), "backups": removed(), "logs": removed(3, 3)}
    assert content(store, "logs") == {"new": ["1"]}
    assert content(store, "files") == content(store, "backups") == {"old": ["1"]}


def test_what_somebody_holds_stays_and_what_hides_it_too(store: Gateway) -> None:
    put(store, "backups", "evidence", "1", "2")
    owner = store.client(OWNER)
    versions = owner.list_object_versions(Bucket="backups")["Versions"]
    (first,) = [each["VersionId"] for each in versions if not each["IsLatest"]]
    owner.put_object_legal_hold(Bucket="backups", Key="evidence", VersionId=first, LegalHold={"Status": "ON"})
    remove(store, "backups", "evidence")
    age(store, DAYS + 1)
    assert sweep(store)["backups"] == removed(1, 1, 0, held=1)
    assert content(store, "backups") == {"evidence": ["removed", "1"]}


def test_an_owner_who_may_not_open_locks_is_told(store: Gateway) -> None:
    put(store, "backups", "over", "1", "2")
    age(store, DAYS + 1)
    store.client(OWNER).delete_bucket_policy(Bucket="backups")
    assert sweep(store, expect=1)["backups"].endswith("1 refused")
    assert content(store, "backups") == {"over": ["2", "1"]}


def test_uploads_that_were_given_up_go(store: Gateway) -> None:
    owner = store.client(OWNER)
    owner.create_multipart_upload(Bucket="files", Key="old")
    age(store, 8)
    young = owner.create_multipart_upload(Bucket="files", Key="young")["UploadId"]
    assert sweep(store)["files"] == removed(uploads=1)
    assert [each["UploadId"] for each in owner.list_multipart_uploads(Bucket="files")["Uploads"]] == [young]


def test_more_than_one_page_killed_on_the_way_and_two_at_once(store: Gateway) -> None:
    """A page of the list has 1000 versions. One that ends within a key, or with a current version, is gone on from there."""
    client: Any = s3(store.port, OWNER, store.owner_key, store.trust, max_pool_connections=8)

    def fill(key: str) -> None:
        for _ in range(26):
            client.put_object(Bucket="files", Key=key, Body=BODY)
        if key.endswith("gone"):
            client.delete_object(Bucket="files", Key=key)

    keys = [f"{n:02}{end}" for n in range(20) for end in (" kept", "/gone")]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fill, keys))
    age(store, DAYS + 1)
    left = store.folder / "data" / "versions" / "files"

    def count() -> int:
        return sum(len(files) for _, _, files in os.walk(left))

    whole = count()
    assert whole == 20 * 25 + 20 * 26
    process = subprocess.Popen([sys.executable, PROGRAM], env=environment(store), stdout=subprocess.PIPE)
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        eventually(lambda: count() < whole, "it has begun")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    rest = count()
    assert 0 < rest < whole
    visible = {each["Key"] for each in client.list_objects_v2(Bucket="files")["Contents"]}
    assert visible == {key for key in keys if key.endswith("kept")}, "nothing that was removed came back"
    both = [
        subprocess.Popen([sys.executable, PROGRAM], env=environment(store), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    # What one has removed, the gateway may answer the other, is removed.
    assert sum(int(re.findall(r"bucket files: removed (\d+) versions", text)[0]) for text in said) >= rest
    assert count() == 0
    assert content(store, "files") == {key: [BODY.decode()] for key in keys if key.endswith("kept")}


def test_without_the_days_nothing_is_done(store: Gateway) -> None:
    ran = subprocess.run(
        [sys.executable, PROGRAM], env=store.environment(), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr.strip()) == (1, "not set: OBJECTS_EXPIRY")
