"""The object store in the cluster: over TLS with the platform's authority, for whom it is meant, and for nobody else."""

import base64
import json
import subprocess
from collections.abc import Generator

import pytest

from tests.cluster.conftest import Node, Platform, eventually

HOST = "objects.data.svc.cluster.local"
CLIENT = "objects-client"

# Puts an object and reads it back as one account, and says what came of it.
_USE = """
import sys, boto3
from botocore.client import Config
url, bucket, user, trust = sys.argv[1:]
key = sys.stdin.readline().strip()
s3 = boto3.client("s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id=user, aws_secret_access_key=key,
    verify=trust or None, config=Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 1},
    s3={"addressing_style": "path"}, request_checksum_calculation="when_required"))
try:
    s3.put_object(Bucket=bucket, Key="cluster/test", Body=b"content")
    print(s3.get_object(Bucket=bucket, Key="cluster/test")["Body"].read().decode())
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def keys(platform: Platform) -> dict[str, str]:
    """Return the key of each account, from the Secret of the Job that gave them."""
    listed = platform.node.get("secrets", "--namespace=data")["items"]
    (document,) = [secret["data"]["OBJECTS_BUCKETS"] for secret in listed if "OBJECTS_BUCKETS" in secret["data"]]
    return json.loads(base64.b64decode(document))["accounts"]


@pytest.fixture(scope="module")
def client(platform: Platform) -> Generator[str]:
    """Run a pod with the Job's labels, and so with its way to the store, that has no key of its own."""
    node = platform.node
    (made,) = [
        job for job in node.get("jobs", "--namespace=data")["items"] if "objects-buckets" in job["metadata"]["name"]
    ]
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    container |= {"command": ["sleep", "3600"], "env": []}
    labels = made["spec"]["template"]["metadata"]["labels"]
    ours = {key: value for key, value in labels.items() if key.startswith("app.kubernetes.io/")}
    metadata = {"name": CLIENT, "namespace": "data", "labels": ours}
    node.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod | {"restartPolicy": "Never"}})
    node.kubectl("wait", f"pod/{CLIENT}", "--namespace=data", "--for=condition=Ready", "--timeout=60s")
    eventually("the firewall knows the pod", lambda: use(node, "files", "nobody", "no key").startswith("ClientError"))
    yield CLIENT
    node.kubectl("delete", "pod", CLIENT, "--namespace=data", "--grace-period=1")


def use(
    node: Node,
    bucket: str,
    user: str,
    key: str,
    *,
    url: str = f"https://{HOST}:7070",
    trust: str = "/etc/trust/ca.crt",
    script: str = _USE,
) -> str:
    """Put an object and read it from inside the pod, and return its content or the error.

    The key goes in by standard input: a command is in the API server's audit log.
    """
    command = ["python", "-c", script, url, bucket, user, trust]
    return node.kubectl("exec", "--stdin", "--namespace=data", CLIENT, "--", *command, stdin=f"{key}\n").strip()


@pytest.mark.usefixtures("client")
def test_an_object_is_put_and_read_through_verified_tls(platform: Platform, keys: dict[str, str]) -> None:
    assert use(platform.node, "backups", "backups", keys["backups"]) == "content"
    assert use(platform.node, "files", "files", keys["files"]) == "content"


@pytest.mark.usefixtures("client")
def test_an_account_without_the_right_is_denied(platform: Platform, keys: dict[str, str]) -> None:
    assert "AccessDenied" in use(platform.node, "backups", "logs", keys["logs"])
    assert "AccessDenied" in use(platform.node, "files", "backups", keys["backups"])
    # It may write, but not read.
    assert "AccessDenied" in use(platform.node, "logs", "logs", keys["logs"])
    assert "SignatureDoesNotMatch" in use(platform.node, "backups", "backups", "another-key")


@pytest.mark.usefixtures("client")
def test_nothing_is_served_without_tls_or_to_who_trusts_others(platform: Platform, keys: dict[str, str]) -> None:
    plain = use(platform.node, "backups", "backups", keys["backups"], url=f"http://{HOST}:7070")
    assert "content" not in plain.split()
    others = "/etc/ssl/certs/ca-certificates.crt"
    assert use(platform.node, "backups", "backups", keys["backups"], trust=others).startswith("SSLError")


def test_who_declared_no_connection_does_not_reach_it(platform: Platform) -> None:
    (api, *_) = platform.node.pods("app", "api")
    script = f"import socket; socket.create_connection(('{HOST}', 7070), 3)"
    with pytest.raises(subprocess.CalledProcessError, match="exit"):
        platform.node.kubectl("exec", "--namespace=app", api["metadata"]["name"], "--", "python", "-c", script)


def test_what_was_put_is_still_there_when_the_gateway_comes_back(
    platform: Platform, client: str, keys: dict[str, str]
) -> None:
    node = platform.node
    assert client
    assert use(node, "files", "files", keys["files"]) == "content"
    node.kubectl("delete", "pod", "objects-0", "--namespace=data", "--wait=true")
    node.kubectl("rollout", "status", "statefulset/objects", "--namespace=data", "--timeout=120s")
    script = _USE.replace('s3.put_object(Bucket=bucket, Key="cluster/test", Body=b"content")', "pass")
    eventually("the object is read", lambda: use(node, "files", "files", keys["files"], script=script) == "content")
