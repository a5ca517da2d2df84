"""The object store as the stacks render it: on a volume in the cluster, or outside it with keys of the user's."""

import json
from collections.abc import Callable
from typing import Any

import pulumi
import pytest

from components import buckets
from components.connections import Connections, Endpoint, Range, connect
from components.namespaces import Namespace
from components.object_store import ObjectStore
from components.settings import BucketKey, BucketKeys, QuotaSettings
from components.tier_settings import ObjectEndpoint, ObjectStoreSettings
from tests.render import STACKS, Manifest, Rendered, _Recorder, committed, render, stack_config

ENDPOINT = {"host": "s3.eu-central-1.amazonaws.com", "region": "eu-central-1", "prefix": "acme-prod-"}
PRINCIPAL = "arn:aws:iam::123456789012:user/{}"


def keys(*names: str) -> dict[str, Any]:
    """Return the value of `platform:bucket-keys`."""
    accounts = {
        name: {"id": f"id-of-{name}", "key": f"key-of-{name}", "principal": PRINCIPAL.format(name)} for name in names
    }
    return {"accounts": accounts, "encryption": "key-of-the-backups"}


def outside(endpoint: dict[str, Any], given: dict[str, Any] | str | None) -> Rendered:
    """Return dev with an endpoint outside the cluster."""
    config = stack_config("dev")
    config["platform:settings"]["objects"]["endpoint"] = endpoint
    if given is not None:
        config["platform:bucket-keys"] = given
    return render("dev", config)


def container(manifest: Manifest) -> Manifest:
    (only,) = manifest["spec"]["template"]["spec"]["containers"]
    return only


def job(rendered: Rendered) -> Manifest | None:
    found = [manifest for name, manifest in rendered.of("Job").items() if name.startswith("data/objects-buckets")]
    return found[0] if found else None


@pytest.mark.parametrize("stack", STACKS)
def test_the_gateway_serves_over_tls_and_writes_to_its_volume_alone(stack: str) -> None:
    gateway = committed(stack).of("StatefulSet")["data/objects"]
    pod = container(gateway)
    script = pod["command"][2]
    for flag in (
        "--cert=/etc/tls/tls.crt",
        "--iam-dir=/data/accounts",
        "--versioning-dir=/data/versions /data/objects",
    ):
        assert flag in script
    assert {"name": "tls", "mountPath": "/etc/tls", "readOnly": True} in pod["volumeMounts"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        assert pod[probe]["httpGet"] == {"path": "/_/health", "port": 7070, "scheme": "HTTPS"}
    assert committed(stack).of("Certificate")["data/objects-tls"]["spec"]["dnsNames"] == [
        "objects.data.svc.cluster.local"
    ]


def test_the_job_knows_the_owners_key_and_whom_to_trust() -> None:
    made = job(committed("prod"))
    assert made
    environment = {item["name"]: item.get("value", "secret") for item in container(made)["env"]}
    assert environment == {
        "OBJECTS_ENDPOINT": "objects.data.svc.cluster.local:7070",
        "OBJECTS_REGION": "us-east-1",
        "OBJECTS_CA_FILE": "/etc/trust/ca.crt",
        "OBJECTS_KEY_ID": "secret",
        "OBJECTS_KEY": "secret",
        "OBJECTS_BUCKETS": "secret",
    }
    assert {"name": "trust", "mountPath": "/etc/trust", "readOnly": True} in container(made)["volumeMounts"]


def test_what_was_removed_is_swept_each_night_by_the_owner_alone() -> None:
    config = stack_config("dev")
    config["platform:settings"].setdefault("objects", {})["retention_days"] = 7
    sweeper = render("dev", config).of("CronJob")["data/objects-sweep"]["spec"]
    (minute, hour, *rest) = sweeper["schedule"].split()
    assert (minute.isdigit(), hour.isdigit(), rest) == (True, True, ["*", "*", "*"])
    assert sweeper["concurrencyPolicy"] == "Forbid"
    (only,) = sweeper["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert only["args"] == ["python", "/opt/buckets/sweep_versions.py"]
    environment = {item["name"]: item.get("value", "secret") for item in only["env"]}
    assert json.loads(environment["OBJECTS_EXPIRY"]) == {
        "files": {"removed": 7, "all": None},
        "backups": {"removed": 7, "all": None},
        "logs": {"removed": 7, "all": 7},
    }
    assert environment["OBJECTS_KEY"] == "secret"


def test_who_expires_what_is_old_is_the_store_outside_and_the_sweep_inside() -> None:
    names = {name: (name,) for name in buckets.ACCOUNTS}
    assert [bucket["expiry"] for bucket in buckets.wanted("", 7, 7, names, "owner")] == [None] * 3
    assert [bucket["expiry"] for bucket in buckets.wanted("", 7, 7, names)] == [*buckets.expiry(7).values()]
    assert "data/objects-sweep" not in outside(ENDPOINT, keys(*buckets.ACCOUNTS)).of("CronJob")


def test_the_policies_of_a_store_whose_accounts_have_no_principal_are_left_alone() -> None:
    assert [bucket["policy"] for bucket in buckets.wanted("", 7, 7, {})] == [None] * 3
    some = buckets.wanted("", 7, 7, {"files": ("somebody",)})
    assert [bool(bucket["policy"]) for bucket in some] == [True, False, False]
    assert [bucket["policy"] for bucket in some[1:]] == [[], []], "what was given to others is taken"


def test_no_account_may_remove_a_version_or_change_a_bucket() -> None:
    for bucket in buckets.wanted("", 30, 30, {name: (name,) for name in buckets.ACCOUNTS}):
        for statement in bucket["policy"]:
            for action in statement["Action"]:
                assert "*" not in action
                kind = action.removeprefix("s3:")
                assert kind.startswith(("Get", "List", "PutObject", "DeleteObject", "AbortMultipartUpload"))
                assert kind not in ("DeleteObjectVersion", "PutObjectRetention", "PutObjectLegalHold", "PutObjectAcl")


def test_only_an_account_of_a_locked_bucket_removes_many_at_once() -> None:
    """The gateway (1.7.0) asks for no further right to remove versions that way; only the lock keeps them."""
    for bucket in buckets.wanted("", 30, 30, {name: (name,) for name in buckets.ACCOUNTS}):
        for statement in bucket["policy"]:
            if "s3:DeleteObject" in statement["Action"] and f"arn:aws:s3:::{bucket['name']}" in statement["Resource"]:
                assert bucket["lock"], bucket["name"]


def test_the_gateways_locks_do_not_end_on_a_day_and_its_owner_may_open_them() -> None:
    found = buckets.wanted("", 30, buckets.FOREVER, {}, "owner")
    assert [(bucket["name"], bool(bucket["lock"]), bool(bucket["policy"])) for bucket in found] == [
        ("files", False, False),
        ("backups", True, True),
        ("logs", True, True),
    ]
    assert all(bucket["lock"]["days"] == 36500 for bucket in found if bucket["lock"])
    assert found[1]["policy"][0]["Action"] == ["s3:BypassGovernanceRetention"]


def test_with_an_endpoint_outside_nothing_is_deployed() -> None:
    rendered = outside(ENDPOINT, keys(*buckets.ACCOUNTS))
    assert "data/objects" not in rendered.of("StatefulSet")
    assert "data/objects" not in rendered.of("Service")
    assert job(rendered) is None
    assert "key-of" not in str(rendered.manifests) + str(rendered.outputs)


def test_buckets_outside_are_made_only_if_asked_for() -> None:
    rendered = outside(ENDPOINT | {"create": True}, keys("owner", *buckets.ACCOUNTS))
    made = job(rendered)
    assert made
    environment = {item["name"]: item.get("value", "secret") for item in container(made)["env"]}
    assert environment["OBJECTS_ENDPOINT"] == "s3.eu-central-1.amazonaws.com:443"
    assert environment["OBJECTS_CA_FILE"] == "/etc/ssl/certs/ca-certificates.crt"
    policy = rendered.of("NetworkPolicy")["data/objects-buckets-to-objects"]["spec"]
    (rule,) = policy["egress"]
    assert rule["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert "10.0.0.0/8" in rule["to"][0]["ipBlock"]["except"]
    assert "key-of" not in str(rendered.manifests) + str(rendered.outputs)


@pytest.mark.parametrize(
    ("endpoint", "given", "expected"),
    [
        (ENDPOINT, None, "Pulumi.dev.yaml: platform:bucket-keys: accounts.files: required with objects.endpoint"),
        (ENDPOINT, keys("files"), "platform:bucket-keys: accounts.backups: required with objects.endpoint"),
        (ENDPOINT | {"create": True}, keys(*buckets.ACCOUNTS), "accounts.owner: required with objects.endpoint"),
        (ENDPOINT, {"accounts": {"files": {"id": "a"}}}, "platform:bucket-keys: accounts.files.key: Field required"),
        (ENDPOINT, {"encryption": "key-short"}, "platform:bucket-keys: encryption: String should have at least 16"),
        (ENDPOINT | {"prefix": "-"}, None, "objects.endpoint.prefix: '-'"),
        (ENDPOINT | {"host": "https://x.example"}, None, "objects.endpoint.host: 'https://x.example'"),
        (ENDPOINT | {"hots": "x.example"}, None, "objects.endpoint.hots: unknown setting; did you mean host?"),
    ],
)
def test_wrong_settings_are_named_and_no_key_is_shown(
    endpoint: dict[str, Any], given: dict[str, Any] | None, expected: str
) -> None:
    with pytest.raises(pulumi.RunError) as raised:
        outside(endpoint, given)
    assert expected in str(raised.value)
    assert "key-short" not in str(raised.value)
    assert "key-of" not in str(raised.value)


def test_a_client_is_handed_its_account() -> None:
    seen: dict[str, Any] = {}

    def program() -> None:
        namespace = Namespace("data", QuotaSettings(), issuer="platform")
        inside = ObjectStore("objects", ObjectStoreSettings(), namespace=namespace, keys=BucketKeys())
        pairs = {name: BucketKey(id=f"id-{name}", key=f"key-{name}") for name in buckets.ACCOUNTS}
        settings = ObjectStoreSettings(endpoint=ObjectEndpoint.model_validate(ENDPOINT))
        given = BucketKeys(accounts=pairs, encryption="key-of-the-backups")
        elsewhere = ObjectStore("elsewhere", settings, namespace=namespace, keys=given)
        for name, store in (("inside", inside), ("outside", elsewhere)):
            identity = namespace.identity(f"client-{name}", "t")
            seen[name] = connect(identity, [store.account("backups")], pulumi.ResourceOptions())
            seen[f"peer {name}"] = store.account("backups")
            store.encryption_key.apply(_noting(seen, f"encryption {name}"))

    pulumi.runtime.set_mocks(_Recorder(), project="platform", stack="dev", preview=False)
    pulumi.runtime.test(program)()
    here, there = seen["inside"], seen["outside"]
    assert isinstance(here, Connections)
    assert _plain(here) == {
        "OBJECTS_ENDPOINT": "objects.data.svc.cluster.local:7070",
        "OBJECTS_REGION": "us-east-1",
        "OBJECTS_BUCKET": "backups",
        "OBJECTS_CA_FILE": "/etc/trust/ca.crt",
        "OBJECTS_KEY_ID": None,
        "OBJECTS_KEY": None,
    }
    assert list(here.files) == ["/etc/trust"]
    assert isinstance(seen["peer inside"], Endpoint)
    assert _plain(there)["OBJECTS_BUCKET"] == "acme-prod-backups"
    assert there.files == {}
    assert isinstance(seen["peer outside"], Range)
    assert seen["encryption inside"] == "objects-encryption-password-1-generated"
    assert seen["encryption outside"] == "key-of-the-backups"


def _noting(seen: dict[str, Any], name: str) -> Callable[[str], None]:
    return lambda value: seen.update({name: value})


def _plain(connections: Connections) -> dict[str, Any]:
    return {str(item.name): item.value for item in connections.env}


@pytest.mark.parametrize("stack", STACKS)
def test_the_key_of_the_backups_is_kept_where_the_volumes_are(stack: str) -> None:
    (key,) = (each for each in committed(stack).registered if each["name"] == "objects-encryption-password-1")
    (store,) = (
        each
        for each in committed(stack).registered
        if each["name"] == "objects" and each["token"].endswith(":StatefulSet")
    )
    assert key["options"]["protect"] == store["options"]["protect"] == (stack != "dev")
