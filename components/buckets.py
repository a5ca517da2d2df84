"""What is kept in the object store, and who may do what with it: the one table of buckets and accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.passwords import login
from components.tier_settings import ObjectStoreSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """Objects of one kind, with every version. `locked` keeps each version for a time; `ages` removes objects after it."""

    locked: bool = False
    ages: bool = False


BUCKETS = {"files": Bucket(), "backups": Bucket(locked=True), "logs": Bucket(locked=True, ages=True)}

# More than a bucket's rules can say: what is put in several parts, and parts that were given up.
_PUT = ("s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one kind of client may do in one bucket: with its `objects`, and by `listing` them.

    `bulk` lets it remove many objects with one request. The gateway takes that for a right to the whole bucket, and to versions
    as well unless they are locked, so only an account of a locked bucket has it.
    """

    bucket: str
    objects: Sequence[str]
    listing: Sequence[str] = ()
    bulk: bool = False


ACCOUNTS = {
    "files": Account(bucket="files", objects=("s3:GetObject", *_PUT, "s3:DeleteObject"), listing=("s3:ListBucket",)),
    "backups": Account(
        bucket="backups",
        objects=("s3:GetObject", "s3:GetObjectVersion", *_PUT),
        listing=("s3:ListBucket", "s3:ListBucketVersions"),
    ),
    # It writes too, for what removes old backups also writes the list of those that are left.
    "backups-keeper": Account(
        bucket="backups", objects=("s3:GetObject", *_PUT, "s3:DeleteObject"), listing=("s3:ListBucket",), bulk=True
    ),
    "logs": Account(bucket="logs", objects=_PUT),
}
"""Each account, by what it is for. None may remove a version, change a retention, or change a bucket."""

FOREVER = 36500
"""The longest lock there is, in days. The gateway (1.7.0) counts a bucket's lock from the day the lock was configured, not from
the day an object was put: with any shorter one, everything would be open on the same day, new objects too."""


def expiry(days: int) -> dict[str, dict[str, int | None]]:
    """Return, for each bucket, after how many days what was removed or written over goes for good, and after how many all does."""
    return {bucket: {"removed": days, "all": days if kept.ages else None} for bucket, kept in BUCKETS.items()}


def wanted(
    prefix: str,
    days: int,
    lock_days: int,
    principals: Mapping[str, tuple[str, ...]],
    owner: str | None = None,
) -> list[dict[str, Any]]:
    """Return each bucket as apply-buckets takes it: its lock, and a policy that gives principals their account's rights.

    `owner`, on a gateway, is the one who may remove what is locked, and does so in place of the store (`sweep_versions.py`). Without
    owner and principals, the buckets' policies are not ours.
    """
    return [
        {
            "name": f"{prefix}{bucket}",
            "lock": {"mode": "GOVERNANCE", "days": lock_days} if kept.locked else None,
            "expiry": None if owner else expiry(days)[bucket],
            "policy": [
                *(
                    statement
                    for name, account in ACCOUNTS.items()
                    if account.bucket == bucket and name in principals
                    for statement in _statements(f"{prefix}{bucket}", account, principals[name])
                ),
                *([_bypass(f"{prefix}{bucket}", owner)] if owner and kept.locked else []),
            ]
            if principals or owner
            else None,
        }
        for bucket, kept in BUCKETS.items()
    ]


def on_gateway(args: ObjectStoreSettings, keys: Mapping[str, str], owner: str, *, retire: bool) -> dict[str, Any]:
    """Return the document for a gateway, which keeps accounts of its own: one for each key, by the name it has in this rotation.

    Until they `retire`, the accounts of the rotations before keep what they have.
    """
    former = () if retire else range(1, args.rotation)
    names = {user: tuple(login(user, rotation) for rotation in (args.rotation, *former)) for user in keys}
    return {
        "accounts": {names[user][0]: key for user, key in keys.items()},
        "former": [name for generations in names.values() for name in generations[1:]],
        "buckets": wanted("", args.retention_days, FOREVER, names, owner),
    }


def _statements(bucket: str, account: Account, principals: tuple[str, ...]) -> list[dict[str, Any]]:
    whole = [_objects(bucket), f"arn:aws:s3:::{bucket}"]
    given = [_rule(principals, account.objects, whole if account.bulk else whole[:1])]
    if account.listing:
        given.append(_rule(principals, account.listing, whole[1:]))
    return given


def _bypass(bucket: str, owner: str) -> dict[str, Any]:
    return _rule((owner,), ["s3:BypassGovernanceRetention"], [_objects(bucket)])


def _objects(bucket: str) -> str:
    return f"arn:aws:s3:::{bucket}/*"


def _rule(principals: tuple[str, ...], actions: Sequence[str], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"AWS": list(principals)},
        "Action": list(actions),
        "Resource": list(resources),
    }
