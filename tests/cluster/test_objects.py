"""The object store in the cluster: over TLS with the platform's authority, for whom it is meant, and for nobody else."""

import subprocess
from collections.abc import Generator

import pytest

from tests.cluster import store
from tests.cluster.conftest import Platform, eventually
from tests.cluster.store import HOST, USE, use


@pytest.fixture(scope="module")
def keys(platform: Platform) -> dict[str, str]:
    return store.keys(platform.node)


@pytest.fixture(scope="module")
def client(platform: Platform) -> Generator[str]:
    with store.client(platform.node):
        yield store.CLIENT


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
    script = USE.replace('s3.put_object(Bucket=bucket, Key="cluster/test", Body=b"content")', "pass")
    eventually("the object is read", lambda: use(node, "files", "files", keys["files"], script=script) == "content")
