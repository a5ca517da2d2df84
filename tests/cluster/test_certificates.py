"""Certificates are issued by the platform's own authority, wherever they are asked for, and come back when they are lost."""

import base64
import os
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Node, eventually

NAMESPACE = "certified"
HOST = "server.certified.svc.cluster.local"


@pytest.fixture(scope="module")
def namespace(node: Node) -> Generator[str]:
    """Return a namespace of the test's own, with a Certificate in it."""
    node.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "cert-manager.io/v1",
            "kind": "Certificate",
            "metadata": {"name": "server", "namespace": NAMESPACE},
            "spec": {
                "secretName": "server",
                "dnsNames": [HOST],
                "issuerRef": {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "platform"},
            },
        },
    )
    yield NAMESPACE
    node.remove(NAMESPACE)


def issued(node: Node, namespace: str) -> dict[str, bytes]:
    """Return the content of the certificate's Secret, once it is there and the Certificate is ready."""

    def ready() -> Any:
        status = node.get("certificate", "server", f"--namespace={namespace}").get("status", {})
        conditions = status.get("conditions", [])
        assert {"Ready": "True"}.items() <= {each["type"]: each["status"] for each in conditions}.items(), conditions
        return node.get("secret", "server", f"--namespace={namespace}")["data"]

    return {name: base64.b64decode(value) for name, value in eventually("the certificate is ready", ready).items()}


def openssl(directory: Path, content: dict[str, bytes], *arguments: str) -> str:
    for name, value in content.items():
        (directory / name).write_bytes(value)
    done = subprocess.run(["openssl", *arguments], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout


def test_a_certificate_asked_for_anywhere_is_issued_and_its_chain_verifies(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    content = issued(node, namespace)
    verify = ("verify", "-x509_strict", "-verify_hostname", HOST, "-CAfile", "ca.crt", "tls.crt")
    assert openssl(tmp_path, content, *verify) == "tls.crt: OK\n"
    about = openssl(tmp_path, content, "x509", "-in", "ca.crt", "-noout", "-subject", "-ext", "basicConstraints")
    assert "CN = platform-root" in about
    assert "CA:TRUE" in about


def test_the_authority_is_one_key_whose_secret_stays_where_it_is(node: Node, namespace: str) -> None:
    root = node.get("secret", "platform-root", "--namespace=security")["data"]
    content = issued(node, namespace)
    assert content["ca.crt"] == base64.b64decode(root["tls.crt"])
    key = base64.b64decode(root["tls.key"])
    assert b"PRIVATE KEY" in key
    others = node.get("secrets", "--all-namespaces")["items"]
    with_key = [each["metadata"]["namespace"] for each in others if root["tls.key"] in each.get("data", {}).values()]
    assert with_key == ["security"]


def test_a_lost_secret_is_issued_again(node: Node, namespace: str) -> None:
    before = issued(node, namespace)
    node.kubectl("delete", "secret", "server", f"--namespace={namespace}")
    after = eventually("there is another certificate", lambda: _other(node, namespace, before))
    assert after["ca.crt"] == before["ca.crt"]


def _other(node: Node, namespace: str, before: dict[str, bytes]) -> dict[str, bytes]:
    content = issued(node, namespace)
    assert content["tls.crt"] != before["tls.crt"]
    return content


def test_the_controller_misses_no_right_and_no_definition(node: Node, namespace: str) -> None:
    """Its log would say so of each, again and again."""
    issued(node, namespace)
    (pod,) = node.pods("security", "cert-manager")
    log = node.kubectl("logs", pod["metadata"]["name"], "--namespace=security", "--tail=-1")
    assert "platform-root" in log or "leader" in log, "the log says what it does"
    assert [line for line in log.splitlines() if "forbidden" in line or "could not find" in line] == []


def test_a_killed_controller_goes_on_where_it_was(node: Node, namespace: str) -> None:
    (pod,) = node.pods("security", "cert-manager")
    before = issued(node, namespace)
    os.kill(node.process(pod), signal.SIGKILL)
    node.kubectl("delete", "secret", "server", f"--namespace={namespace}")
    # It does not wait for its own lease to run out: the container comes back under the name that holds it.
    eventually("there is another certificate", lambda: _other(node, namespace, before), 40)
