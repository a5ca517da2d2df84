"""Brings the buckets, accounts and rights of an object store to what the environment says.

It says each change it makes, and none the second time. It can be killed at any point and run again.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, cast
from xml.etree import ElementTree

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.httpsession import URLLib3Session

PATIENCE_SECONDS = 60.0
_ABSENT = ("NoSuchBucketPolicy", "NoSuchLifecycleConfiguration", "ObjectLockConfigurationNotFoundError")


class Store:
    """An S3 endpoint, as its owner sees it."""

    def __init__(self, url: str, region: str, key_id: str, key: str, trust: str | None) -> None:
        self._url, self._region = url, region
        self._credentials = Credentials(key_id, key)
        self._http: Any = URLLib3Session(verify=cast("bool", trust or True))
        self.s3: Any = boto3.client(  # pyright: ignore[reportUnknownMemberType]
            "s3",
            endpoint_url=url,
            region_name=region,
            aws_access_key_id=key_id,
            aws_secret_access_key=key,
            verify=trust,
            config=Config(connect_timeout=3, read_timeout=30, s3={"addressing_style": "path"}),
        )

    def wait(self, patience: float = PATIENCE_SECONDS) -> None:
        """Wait until it answers: a new pod's packets are refused until the network has heard of the pod."""
        given_up = time.monotonic() + patience
        while True:
            try:
                self.s3.list_buckets()
            except (NoConnectionError, HTTPClientError) as error:
                if time.monotonic() > given_up:
                    raise SystemExit(f"{self._url}: no answer for {patience:.0f} s: {error}") from error
                time.sleep(0.5)
            else:
                return

    def ask(self, path: str, body: str = "") -> str:
        """Call the gateway's own API for accounts, which S3 has no words for."""
        data = body.encode()
        request = AWSRequest(method="PATCH", url=f"{self._url}/{path}", data=data)
        request.headers["X-Amz-Content-Sha256"] = hashlib.sha256(data).hexdigest()
        S3SigV4Auth(self._credentials, "s3", self._region).add_auth(request)
        answer = self._http.send(request.prepare())
        if answer.status_code >= 300:
            raise SystemExit(f"{self._url}/{path.partition('?')[0]}: {answer.status_code}: {answer.text}")
        return answer.text


def apply(store: Store, wanted: Mapping[str, Any]) -> Iterator[str]:
    """Make the changes that are left to make, and yield what each was.

    `wanted` has `buckets`, each with `name`, `lock` (mode and days, or none), `policy` (statements, or none if that is not ours) and
    `expiry` (the days after which what was `removed` or written over is gone for good, and after which `all` is removed, or none;
    nothing where the sweep does it),
    and for a gateway that keeps accounts of its own `accounts`, key id -> key, and `former`, key ids. What is `former` keeps its key
    and its rights if it is there, and is not made if it is not. Every bucket is versioned.
    """
    # Accounts come before the policies that name them, and go after those that no longer do.
    accounts: Mapping[str, str] | None = wanted["accounts"]
    former: set[str] = set(wanted.get("former", ()))
    absent: set[str] = set()
    if accounts is not None:
        yield from _accounts(store, accounts)
        absent = former - set(_known(store))
    for bucket in wanted["buckets"]:
        yield from _bucket(store.s3, bucket, absent)
    if accounts is not None:
        for gone in sorted(set(_known(store)) - set(accounts) - former):
            store.ask(f"delete-user?access={gone}")
            yield f"account {gone}: removed"


def _accounts(store: Store, accounts: Mapping[str, str]) -> Iterator[str]:
    known = _known(store)
    for name, key in sorted(accounts.items()):
        if name not in known:
            store.ask("create-user", _xml("Account", Access=name, Secret=key, Role="user"))
            yield f"account {name}: made"
        elif known[name] != (key, "user"):
            store.ask(f"update-user?access={name}", _xml("MutableProps", Secret=key, Role="user"))
            yield f"account {name}: given its new key"


def _known(store: Store) -> dict[str, tuple[str, str]]:
    """Return key and role of each account the gateway has."""
    # What is parsed comes from our own gateway, over a connection that is verified.
    found = ElementTree.fromstring(store.ask("list-users")).iter("Accounts")  # noqa: S314
    return {
        account.findtext("Access", ""): (account.findtext("Secret", ""), account.findtext("Role", ""))
        for account in found
    }


def _xml(root: str, **values: str) -> str:
    element = ElementTree.Element(root)
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = value
    return ElementTree.tostring(element, encoding="unicode")


def _bucket(s3: Any, wanted: Mapping[str, Any], absent: Set[str]) -> Iterator[str]:
    name: str = wanted["name"]
    lock: Mapping[str, Any] | None = wanted["lock"]
    if name not in {bucket["Name"] for bucket in s3.list_buckets().get("Buckets", [])}:
        place = {"LocationConstraint": region} if (region := s3.meta.region_name) != "us-east-1" else None
        configuration = {"CreateBucketConfiguration": place} if place else {}
        s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=bool(lock), **configuration)
        yield f"bucket {name}: made"
    if s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        yield f"bucket {name}: versioned"
    if lock:
        retention = {"Mode": lock["mode"], "Days": lock["days"]}
        rule = _get(s3.get_object_lock_configuration, Bucket=name).get("ObjectLockConfiguration", {}).get("Rule", {})
        found = rule.get("DefaultRetention", {})
        if {key: found.get(key) for key in retention} != retention:
            s3.put_object_lock_configuration(
                Bucket=name,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": retention}},
            )
            yield f"bucket {name}: locked, {lock['mode'].lower()}, {lock['days']} days"
    if wanted["policy"] is not None:
        yield from _policy(s3, name, [rule for given in wanted["policy"] if (rule := _without(given, absent))])
    if wanted["expiry"]:
        yield from _expiry(s3, name, wanted["expiry"])


def _policy(s3: Any, name: str, statements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    policy = {"Version": "2012-10-17", "Statement": statements} if statements else None
    if json.loads(_get(s3.get_bucket_policy, Bucket=name).get("Policy", "null")) == policy:
        return
    if policy:
        s3.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        yield f"bucket {name}: rights given"
    else:
        # A store takes no policy that says nothing.
        s3.delete_bucket_policy(Bucket=name)
        yield f"bucket {name}: rights taken"


def _without(statement: Mapping[str, Any], absent: Set[str]) -> Mapping[str, Any] | None:
    """Return the statement for those of its principals that are there, as the store returns it, or none if none is."""
    names = [name for name in statement["Principal"]["AWS"] if name not in absent]
    return {**statement, "Principal": {"AWS": names if names[1:] else names[0]}} if names else None


def _expiry(s3: Any, name: str, days: Mapping[str, int | None]) -> Iterator[str]:
    """Let old versions go by age, where the store does that by itself."""
    rules = [
        {
            "ID": "age",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "NoncurrentVersionExpiration": {"NoncurrentDays": days["removed"]},
            "Expiration": {"Days": days["all"]} if days["all"] else {"ExpiredObjectDeleteMarker": True},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
        }
    ]
    try:
        if _get(s3.get_bucket_lifecycle_configuration, Bucket=name).get("Rules") == rules:
            return
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    except ClientError as error:
        if _code(error) != "NotImplemented":
            raise
        print(f"bucket {name}: the store does not expire objects by itself", file=sys.stderr)
    else:
        yield f"bucket {name}: old versions expire"


def _get(call: Any, **where: str) -> Mapping[str, Any]:
    """Return what the store has, or nothing if it has none."""
    try:
        return call(**where)
    except ClientError as error:
        if _code(error) not in _ABSENT:
            raise
        return {}


def _code(error: ClientError) -> str:
    return cast("dict[str, Any]", error.response)["Error"]["Code"]


def from_environment() -> Store:
    """Return the store that the environment names, or say which variable is missing."""
    names = ("OBJECTS_ENDPOINT", "OBJECTS_REGION", "OBJECTS_KEY_ID", "OBJECTS_KEY")
    if missing := [name for name in names if name not in os.environ]:
        raise SystemExit(f"not set: {', '.join(missing)}")
    endpoint, region, key_id, key = (os.environ[name] for name in names)
    return Store(f"https://{endpoint}", region, key_id, key, os.environ.get("OBJECTS_CA_FILE"))


if __name__ == "__main__":
    there = from_environment()
    there.wait()
    for change in apply(there, json.loads(os.environ["OBJECTS_BUCKETS"])):
        print(change, flush=True)
