"""Buckets, accounts and rights are what the platform says, on the real gateway and on a stand-in for AWS S3."""

import contextlib
import json
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from components import buckets
from components.tier_settings import ObjectStoreSettings
from tests.processes import eventually
from tests.servers.gateway import OWNER, PROGRAM, Aws, Gateway, certify, environment, s3

BODY = b"content"
Act = Callable[[Any, str, str, str], object]
"""What a client does in a bucket, with a key and a version that are there."""

ACTS: Mapping[str, Act] = {
    "put": lambda s3, bucket, key, _version: s3.put_object(Bucket=bucket, Key=f"{key}-new", Body=BODY),
    "put over": lambda s3, bucket, key, _version: s3.put_object(Bucket=bucket, Key=key, Body=BODY),
    "put in parts": lambda s3, bucket, key, _version: _in_parts(s3, bucket, f"{key}-parts"),
    "get": lambda s3, bucket, key, _version: s3.get_object(Bucket=bucket, Key=key),
    "get version": lambda s3, bucket, key, version: s3.get_object(Bucket=bucket, Key=key, VersionId=version),
    "list": lambda s3, bucket, _key, _version: s3.list_objects_v2(Bucket=bucket),
    "list versions": lambda s3, bucket, _key, _version: s3.list_object_versions(Bucket=bucket),
    "delete": lambda s3, bucket, key, _version: s3.delete_object(Bucket=bucket, Key=key),
    "delete many": lambda s3, bucket, key, _version: _delete_many(s3, bucket, Key=key),
    "delete version": lambda s3, bucket, key, version: s3.delete_object(Bucket=bucket, Key=key, VersionId=version),
    "delete version by force": lambda s3, bucket, key, version: s3.delete_object(
        Bucket=bucket, Key=key, VersionId=version, BypassGovernanceRetention=True
    ),
    "delete many versions": lambda s3, bucket, key, version: _delete_many(s3, bucket, Key=key, VersionId=version),
    "retain less": lambda s3, bucket, key, version: s3.put_object_retention(
        Bucket=bucket,
        Key=key,
        VersionId=version,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=1)},
        BypassGovernanceRetention=True,
    ),
    "lock less": lambda s3, bucket, _key, _version: s3.put_object_lock_configuration(
        Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
    ),
    "version no more": lambda s3, bucket, _key, _version: s3.put_bucket_versioning(
        Bucket=bucket, VersioningConfiguration={"Status": "Suspended"}
    ),
    "take rights": lambda s3, bucket, _key, _version: s3.delete_bucket_policy(Bucket=bucket),
    "open to all": lambda s3, bucket, _key, _version: s3.put_bucket_acl(Bucket=bucket, ACL="public-read-write"),
    "delete bucket": lambda s3, bucket, _key, _version: s3.delete_bucket(Bucket=bucket),
    "make bucket": lambda s3, bucket, _key, _version: s3.create_bucket(Bucket=f"{bucket}-of-mine"),
}

_PUT = {"put", "put over", "put in parts"}
RIGHTS = {
    "files": ("files", {*_PUT, "get", "list", "delete"}),
    "backups": ("backups", {*_PUT, "get", "get version", "list", "list versions"}),
    "backups-keeper": ("backups", {*_PUT, "get", "list", "delete", "delete many"}),
    "logs": ("logs", _PUT),
}
"""What each account can do in its bucket. In the others it can do nothing."""

CASES = [
    (user, bucket, act, bucket == own and act in rights)
    for user, (own, rights) in RIGHTS.items()
    for bucket in buckets.BUCKETS
    for act in ACTS
]


def _code(error: ClientError) -> str:
    return cast("dict[str, Any]", error.response)["Error"]["Code"]


def _in_parts(client: Any, bucket: str, key: str) -> None:
    upload = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    where = {"Bucket": bucket, "Key": key, "UploadId": upload}
    tag = client.upload_part(**where, PartNumber=1, Body=BODY)["ETag"]
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"ETag": tag, "PartNumber": 1}]})
    client.abort_multipart_upload(
        **where | {"UploadId": client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]}
    )


def _delete_many(client: Any, bucket: str, **what: str) -> None:
    """Fail with what the store says of the object, which it may put in an answer that is a success."""
    failed = client.delete_objects(Bucket=bucket, Delete={"Objects": [what]}).get("Errors")
    if failed:
        raise ClientError(
            {"Error": {"Code": failed[0]["Code"], "Message": failed[0].get("Message", "")}}, "DeleteObjects"
        )


@pytest.mark.parametrize("user", RIGHTS)
def test_an_account_can_do_its_own_work_and_no_more(gateway: Gateway, user: str) -> None:
    owner, client = gateway.client(OWNER), gateway.client(user)
    wrong: list[str] = []
    for _, bucket, act, allowed in (case for case in CASES if case[0] == user):
        key = f"{user}/{act}/{uuid.uuid4()}"
        version = owner.put_object(Bucket=bucket, Key=key, Body=b"before")["VersionId"]
        try:
            ACTS[act](client, bucket, key, version)
            done = "done"
        except ClientError as error:
            done = _code(error)
        if done != "done" if allowed else done != "AccessDenied":
            wrong.append(f"{act} in {bucket}: {done}")
        kept = owner.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
        assert kept == b"before", f"{act} in {bucket}"
    assert wrong == []
    assert gateway.apply() == []


def test_a_locked_version_goes_only_by_its_owners_force(gateway: Gateway) -> None:
    owner = gateway.client(OWNER)
    for bucket in ("backups", "logs"):
        version = owner.put_object(Bucket=bucket, Key="locked", Body=BODY)["VersionId"]
        where = {"Bucket": bucket, "Key": "locked", "VersionId": version}
        with pytest.raises(ClientError, match=r"protected by object lock|ObjectLocked|AccessDenied"):
            owner.delete_object(**where)
        owner.delete_object(**where, BypassGovernanceRetention=True)
        with pytest.raises(ClientError, match="NoSuch"):
            owner.get_object(**where)


def test_what_is_removed_can_be_had_back(gateway: Gateway) -> None:
    keeper, reader = gateway.client("backups-keeper"), gateway.client("backups")
    version = reader.put_object(Bucket="backups", Key="back", Body=BODY)["VersionId"]
    keeper.delete_object(Bucket="backups", Key="back")
    with pytest.raises(ClientError, match="NoSuchKey"):
        reader.get_object(Bucket="backups", Key="back")
    assert reader.get_object(Bucket="backups", Key="back", VersionId=version)["Body"].read() == BODY


def test_everything_is_made_once(empty: Gateway) -> None:
    changes = empty.apply()
    assert [change for change in changes if change.startswith("account ")] == [
        f"account {name}: made" for name in sorted(buckets.ACCOUNTS)
    ]
    assert {f"bucket {name}: made" for name in buckets.BUCKETS} <= set(changes)
    assert empty.apply() == []


def test_a_new_key_takes_the_place_of_the_old_one(empty: Gateway) -> None:
    empty.apply()
    old = empty.client("files")
    old.list_objects_v2(Bucket="files")
    empty.keys["files"] = "another-key"
    assert empty.apply() == ["account files: given its new key"]
    empty.client("files").list_objects_v2(Bucket="files")
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        old.list_objects_v2(Bucket="files")


def _rotation(number: int, *, retire: bool) -> Mapping[str, Any]:
    keys = {user: f"key-{number}-of-{user}" for user in buckets.ACCOUNTS}
    return buckets.on_gateway(ObjectStoreSettings(rotation=number), keys, OWNER, retire=retire)


def _use(client: Any, user: str) -> None:
    """Do the work of an account: put, and read or list what others put, as far as it may."""
    bucket, rights = RIGHTS[user]
    client.put_object(Bucket=bucket, Key=f"{user}/{uuid.uuid4()}", Body=BODY)
    if "get" in rights:
        assert client.get_object(Bucket=bucket, Key="first")["Body"].read() == BODY
        assert "first" in {item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]}


def test_two_generations_of_accounts_work_until_the_old_one_is_retired(empty: Gateway) -> None:
    assert empty.apply(_rotation(1, retire=False))
    owner = empty.client(OWNER)
    for bucket in buckets.BUCKETS:
        owner.put_object(Bucket=bucket, Key="first", Body=BODY)
    old = {user: empty.client(user, f"key-1-of-{user}") for user in buckets.ACCOUNTS}
    new = {user: empty.client(f"{user}_2", f"key-2-of-{user}") for user in buckets.ACCOUNTS}
    admitted = empty.apply(_rotation(2, retire=False))
    assert sorted(admitted) == sorted(
        [f"account {user}_2: made" for user in buckets.ACCOUNTS]
        + [f"bucket {bucket}: rights given" for bucket in buckets.BUCKETS]
    )
    assert empty.apply(_rotation(2, retire=False)) == []
    for user in buckets.ACCOUNTS:
        _use(old[user], user)
        _use(new[user], user)
    retired = empty.apply(_rotation(2, retire=True))
    assert sorted(retired) == sorted(
        [f"account {user}: removed" for user in buckets.ACCOUNTS]
        + [f"bucket {bucket}: rights given" for bucket in buckets.BUCKETS]
    )
    for user in buckets.ACCOUNTS:
        _use(new[user], user)
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            _use(old[user], user)
    for bucket in buckets.BUCKETS:
        named = {name for each in _statements(owner, bucket) for name in [each["Principal"]["AWS"]]}
        assert named <= {OWNER, *(f"{user}_2" for user in buckets.ACCOUNTS)}
    # An account that is gone does not come back when the Job runs again, for another reason.
    assert empty.apply(_rotation(2, retire=False)) == []
    assert empty.apply(_rotation(2, retire=True)) == []


def test_a_rotation_that_was_not_ended_does_not_take_the_older_accounts_from_the_next(empty: Gateway) -> None:
    empty.apply(_rotation(1, retire=False))
    empty.client(OWNER).put_object(Bucket="backups", Key="first", Body=BODY)
    empty.apply(_rotation(2, retire=False))
    empty.apply(_rotation(3, retire=False))
    for name, number in (("backups", 1), ("backups_2", 2), ("backups_3", 3)):
        _use(empty.client(name, f"key-{number}-of-backups"), "backups")
    retired = [change for change in empty.apply(_rotation(3, retire=True)) if change.startswith("account ")]
    assert len(retired) == 2 * len(buckets.ACCOUNTS)
    _use(empty.client("backups_3", "key-3-of-backups"), "backups")


def test_a_bucket_without_rights_has_no_policy_and_one_that_is_not_ours_keeps_it(empty: Gateway) -> None:
    empty.apply()
    document = empty.document()
    for bucket in document["buckets"]:
        bucket["policy"] = {"files": [], "backups": None}.get(bucket["name"], bucket["policy"])
    assert empty.apply(document) == ["bucket files: rights taken"]
    owner = empty.client(OWNER)
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        _statements(owner, "files")
    assert _statements(owner, "backups")
    assert empty.apply(document) == []


def _statements(owner: Any, bucket: str) -> list[Mapping[str, Any]]:
    return json.loads(owner.get_bucket_policy(Bucket=bucket)["Policy"])["Statement"]


def test_an_account_that_is_not_wanted_goes(empty: Gateway) -> None:
    empty.keys["former"] = "a-key"
    empty.apply()
    former = empty.client("former")
    del empty.keys["former"]
    assert empty.apply() == ["account former: removed"]
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        former.list_buckets()


def test_what_somebody_changed_is_put_back(empty: Gateway) -> None:
    empty.apply()
    owner = empty.client(OWNER)
    owner.delete_bucket_policy(Bucket="logs")
    owner.put_object_lock_configuration(Bucket="backups", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    owner.put_bucket_versioning(Bucket="files", VersioningConfiguration={"Status": "Suspended"})
    assert sorted(empty.apply()) == [
        f"bucket backups: locked, governance, {buckets.FOREVER} days",
        "bucket files: versioned",
        "bucket logs: rights given",
    ]
    assert empty.apply() == []


def test_killed_after_any_change_it_goes_on_where_it_was(empty: Gateway) -> None:
    changes: list[str] = []
    for _ in range(40):
        process = subprocess.Popen(
            [sys.executable, PROGRAM],
            env=empty.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        change = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if not change:
            break
        changes.append(change)
    assert len(changes) > 1
    # A change may be made and not yet said when the process dies, so not every one is heard of.
    assert len(changes) == len(set(changes))
    assert empty.apply() == []
    empty.client("backups").put_object(Bucket="backups", Key="after", Body=BODY)


def test_it_waits_for_an_endpoint_that_is_not_there_yet(gateway_binary: Path, tmp_path: Path) -> None:
    late = Gateway(tmp_path, gateway_binary)
    process = subprocess.Popen([sys.executable, PROGRAM], env=late.environment(), stdout=subprocess.PIPE, text=True)
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        stack.enter_context(late.running())
        out, _ = process.communicate(timeout=30)
        assert "bucket files: made" in out
        assert process.returncode == 0


def test_a_renewed_certificate_is_served_without_a_restart(empty: Gateway) -> None:
    def serial() -> str:
        pem = ssl.get_server_certificate(("localhost", empty.port))
        shown = subprocess.run(
            ["openssl", "x509", "-noout", "-serial"], input=pem, capture_output=True, text=True, check=True
        )
        return shown.stdout.strip()

    assert serial() == "serial=01"
    certify(empty.folder / "tls", 2)
    eventually(lambda: serial() == "serial=02", "the new certificate is served")


def test_nothing_is_served_without_tls(gateway: Gateway) -> None:
    plain = s3(gateway.port, OWNER, gateway.owner_key, None)
    with pytest.raises(Exception, match=r"400|closed|Bad Request|reset"):
        plain.list_buckets()


def test_the_same_program_makes_the_buckets_on_aws(aws: Aws) -> None:
    principals = {name: (f"arn:aws:iam::123456789012:user/{name}",) for name in buckets.ACCOUNTS}
    document = {"accounts": None, "buckets": buckets.wanted("acme-", 30, 30, principals)}
    changes = aws.apply(document)
    assert {f"bucket acme-{name}: made" for name in buckets.BUCKETS} <= set(changes)
    assert aws.apply(document) == []
    client = aws.client()
    lock = client.get_object_lock_configuration(Bucket="acme-backups")["ObjectLockConfiguration"]
    assert lock["Rule"]["DefaultRetention"].items() >= {"Mode": "GOVERNANCE", "Days": 30}.items()
    version = client.put_object(Bucket="acme-backups", Key="locked", Body=BODY)["VersionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket="acme-backups", Key="locked", VersionId=version)
    (expiry,) = client.get_bucket_lifecycle_configuration(Bucket="acme-logs")["Rules"]
    assert expiry["Expiration"] == {"Days": 30}
    assert expiry["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    policy = json.loads(client.get_bucket_policy(Bucket="acme-logs")["Policy"])
    assert [statement["Principal"]["AWS"] for statement in policy["Statement"]] == [*principals["logs"]]


def test_an_environment_that_lacks_something_is_refused(tmp_path: Path) -> None:
    given = environment("nowhere", OWNER, "key", tmp_path, {})
    del given["OBJECTS_ENDPOINT"]
    ran = subprocess.run([sys.executable, PROGRAM], env=given, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr.strip()) == (1, "not set: OBJECTS_ENDPOINT")
