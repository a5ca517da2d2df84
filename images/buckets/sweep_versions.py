"""Removes for good what was removed or written over long ago, from a store that does not do that by itself.

OBJECTS_EXPIRY has the days for each bucket: `removed`, how long a version stays when it is no longer the current one, and `all`, how
long any version does, or none. A current version goes by the second alone. It says what it removed from each bucket. It can be
killed at any point and run again.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

from apply_buckets import from_environment
from botocore.exceptions import ClientError

_UPLOAD_DAYS = 7
_GONE = ("NoSuchKey", "NoSuchVersion", "InvalidArgument")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of an object, or a marker that says it was removed."""

    id: str
    modified: datetime
    current: bool
    size: int
    marker: bool


@dataclass(slots=True, kw_only=True)
class Swept:
    """What was removed from a bucket, and what could not be."""

    versions: int = 0
    size: int = 0
    markers: int = 0
    uploads: int = 0
    held: int = 0
    refused: int = 0

    def __str__(self) -> str:
        """Return it as a line of the log says it."""
        removed = (
            f"{self.versions} versions, {self.size} bytes; {self.markers} markers; {self.uploads} unfinished uploads"
        )
        return f"removed {removed}; left {self.held} on legal hold, {self.refused} refused"


def sweep(s3: Any, bucket: str, days: Mapping[str, int | None], now: datetime) -> Swept:
    """Remove what is older than its days, each key's current version last: what is left behind it would be the current one."""
    swept = Swept()
    removed_before = now - timedelta(days=cast("int", days["removed"]))
    all_before = now - timedelta(days=days["all"]) if days["all"] else None
    for key, versions in _keys(s3, bucket):
        current = [version for version in versions if version.current]
        # Otherwise something was changed while the list was read, and the list is not whole.
        if len(current) != 1:
            continue
        behind = sorted((each for each in versions if not each.current), key=lambda each: each.modified, reverse=True)
        left = 0
        for newer, version in reversed([*pairwise([*current, *behind])]):
            # S3 counts from when the newer one was put. The gateway dates a version anew when it is no longer the current one,
            # and a marker like the version it hides.
            since = max(newer.modified, version.modified)
            if since < removed_before or (all_before and version.modified < all_before):
                left += not _remove(s3, bucket, key, version, swept)
            else:
                left += 1
        (last,) = current
        old = last.modified < removed_before if last.marker else all_before and last.modified < all_before
        if old and not left and _alone(s3, bucket, key, last):
            _remove(s3, bucket, key, last, swept)
    for upload in _uploads(s3, bucket):
        if upload["Initiated"] < now - timedelta(days=_UPLOAD_DAYS):
            s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
            swept.uploads += 1
    return swept


def _keys(s3: Any, bucket: str) -> Iterator[tuple[str, list[Version]]]:
    """Yield each key with all of its versions.

    The one a page ends with comes with a later page: it may go on there, and the next page is asked for by its name.
    """
    last: str | None = None
    found: dict[str, dict[str, Version]] = {}
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for kind in ("Versions", "DeleteMarkers"):
            for item in page.get(kind, []):
                # The gateway begins a page with the version that ended the one before, if that is a current one.
                found.setdefault(item["Key"], {})[item["VersionId"]] = Version(
                    id=item["VersionId"],
                    modified=item["LastModified"],
                    current=item["IsLatest"],
                    size=item.get("Size", 0),
                    marker=kind == "DeleteMarkers",
                )
        last = page.get("NextKeyMarker") if page.get("IsTruncated") else None
        for key in [key for key in found if key != last]:
            yield key, [*found.pop(key).values()]


def _alone(s3: Any, bucket: str, key: str, version: Version) -> bool:
    """Return whether the key still has this version and no other."""
    page = s3.list_object_versions(Bucket=bucket, Prefix=key)
    items = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    return [item["VersionId"] for item in items if item["Key"] == key] == [version.id]


def _uploads(s3: Any, bucket: str) -> list[Mapping[str, Any]]:
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket)
    return [upload for page in pages for upload in page.get("Uploads", [])]


def _remove(s3: Any, bucket: str, key: str, version: Version, swept: Swept) -> bool:
    """Remove a version, locked or not, and return whether it is gone."""
    where = {"Bucket": bucket, "Key": key, "VersionId": version.id}
    try:
        s3.delete_object(**where, BypassGovernanceRetention=True)
    except ClientError as error:
        code = cast("dict[str, Any]", error.response)["Error"]["Code"]
        if code in _GONE:
            return True
        if code != "AccessDenied":
            raise
        if _on_hold(s3, where):
            swept.held += 1
        else:
            swept.refused += 1
        return False
    swept.markers += version.marker
    swept.versions += not version.marker
    swept.size += version.size
    return True


def _on_hold(s3: Any, where: Mapping[str, str]) -> bool:
    """Return whether somebody holds the version: then it is to stay."""
    try:
        return s3.get_object_legal_hold(**where)["LegalHold"]["Status"] == "ON"
    except ClientError:
        return False


if __name__ == "__main__":
    store = from_environment()
    if "OBJECTS_EXPIRY" not in os.environ:
        raise SystemExit("not set: OBJECTS_EXPIRY")
    store.wait()
    refused = 0
    for name, expiry in json.loads(os.environ["OBJECTS_EXPIRY"]).items():
        done = sweep(store.s3, name, expiry, datetime.now(UTC))
        refused += done.refused
        print(f"bucket {name}: {done}", flush=True)
    if refused:
        raise SystemExit(f"{refused} versions are old enough and could not be removed")
