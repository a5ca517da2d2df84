"""The object store as tests use it: from a pod that has the way to it and no key of its own."""

import base64
import json
from collections.abc import Generator
from contextlib import contextmanager

from tests.cluster.conftest import Node, eventually

HOST = "objects.data.svc.cluster.local"
CLIENT = "objects-client"

# Puts an object and reads it back as one account, and says what came of it.
USE = """
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


def keys(node: Node) -> dict[str, str]:
    """Return the key of each account, from the Secret of the Job that gave them."""
    told = [
        secret
        for secret in node.get("secrets", "--namespace=data")["items"]
        if secret["metadata"]["name"].startswith("objects-buckets-") and "OBJECTS_BUCKETS" in secret["data"]
    ]
    (secret,) = told
    return json.loads(base64.b64decode(secret["data"]["OBJECTS_BUCKETS"]))["accounts"]


@contextmanager
def client(node: Node) -> Generator[None]:
    """Run a pod with the labels of the Job that makes the buckets, and so with its way to the store."""
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
    yield
    node.kubectl("delete", "pod", CLIENT, "--namespace=data", "--grace-period=1")


def use(
    node: Node,
    bucket: str,
    user: str,
    key: str,
    *,
    url: str = f"https://{HOST}:7070",
    trust: str = "/etc/trust/ca.crt",
    script: str = USE,
) -> str:
    """Put an object and read it from inside the pod, and return its content or the error.

    The key goes in by standard input: a command is in the API server's audit log.
    """
    command = ["python", "-c", script, url, bucket, user, trust]
    return node.kubectl("exec", "--stdin", "--namespace=data", CLIENT, "--", *command, stdin=f"{key}\n").strip()
