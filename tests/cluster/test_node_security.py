"""What the node refuses, records and encrypts."""

import base64
import json
import ssl
import stat
import urllib.error
import urllib.request
from collections.abc import Generator
from datetime import UTC, datetime
from subprocess import CalledProcessError
from typing import Any

import pytest

from local.node.layout import API_URL, KUBECONFIG, LOGS, PKI, RUN, STATE
from tests.cluster.conftest import Node, eventually

NAMESPACE = "node-security"
CANARY = "canary-4f1e9c"
_BEGAN = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")  # the log also tells of earlier runs


@pytest.fixture(scope="module", autouse=True)
def _namespace(node: Node) -> Generator[None]:
    """Make a namespace without labels: the node's own default is what stands between."""
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    yield
    node.remove(NAMESPACE)


def pod(image: str, **spec: Any) -> dict[str, Any]:
    container = {"name": "it", "image": image, "command": ["sleep", "600"], **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "it", "namespace": NAMESPACE},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0, **spec},
    }


def audit(**wanted: str) -> list[dict[str, Any]]:
    """Return the recorded requests for an object, by resource, name and verb."""
    lines = (LOGS / "audit.log").read_text().splitlines()
    entries = [json.loads(line) for line in lines if f'"{wanted["name"]}"' in line]
    return [
        entry
        for entry in entries
        if entry["verb"] == wanted["verb"]
        and entry["objectRef"]["resource"] == wanted["resource"]
        and entry["requestReceivedTimestamp"] >= _BEGAN
    ]


@pytest.mark.parametrize(
    "spec",
    [
        {"container": {"securityContext": {"privileged": True}}},
        {"hostNetwork": True},
        {"hostPID": True},
        {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]},
        {"container": {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}},
    ],
    ids=["privileged", "hostNetwork", "hostPID", "hostPath", "SYS_ADMIN"],
)
def test_a_pod_that_would_own_the_machine_is_refused(node: Node, image: str, spec: dict[str, Any]) -> None:
    with pytest.raises(CalledProcessError) as refused:
        node.apply(pod(image, **spec))
    assert 'violates PodSecurity "baseline:latest"' in refused.value.stderr


def test_a_secret_is_recorded_without_its_body_and_encrypted_on_disk(node: Node) -> None:
    secret = {"name": "hidden", "namespace": NAMESPACE}
    node.apply({"apiVersion": "v1", "kind": "Secret", "metadata": secret, "stringData": {"password": CANARY}})
    node.kubectl("get", "secret", "hidden", f"--namespace={NAMESPACE}")
    eventually(
        "its creation is recorded",
        lambda: (
            audit(resource="secrets", name="hidden", verb="create")
            or audit(resource="secrets", name="hidden", verb="patch")
        ),
    )
    eventually("its reading is recorded", lambda: audit(resource="secrets", name="hidden", verb="get"))
    log = (LOGS / "audit.log").read_text()
    assert CANARY not in log
    assert base64.b64encode(CANARY.encode()).decode() not in log
    stored = in_etcd(f"/registry/secrets/{NAMESPACE}/hidden")
    assert stored.startswith(b"k8s:enc:secretbox:v1:node:")
    assert CANARY.encode() not in stored
    node.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**secret, "name": "open"}, "data": {"a": CANARY}})
    assert CANARY.encode() in in_etcd(f"/registry/configmaps/{NAMESPACE}/open"), "etcd is read at all"


def test_a_change_of_rights_is_recorded_with_its_body(node: Node) -> None:
    role = {"name": "recorded-role", "namespace": NAMESPACE}
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    node.apply({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": role, "rules": rules})
    (entry,) = eventually("it is recorded", lambda: audit(resource="roles", name="recorded-role", verb="create"))
    assert entry["requestObject"]["rules"] == rules
    assert entry["user"]["username"] == "platform-admin"


def test_noise_is_not_recorded(node: Node) -> None:
    del node
    recorded = [json.loads(line) for line in (LOGS / "audit.log").read_text().splitlines()]
    assert [entry for entry in recorded if entry.get("objectRef", {}).get("resource") in ("leases", "events")] == []


@pytest.mark.parametrize(
    ("path", "code"),
    [("/readyz", 200), ("/livez", 200), ("/healthz", 200), ("/version", 401), ("/api", 401), ("/metrics", 401)],
)
def test_without_a_name_only_health_is_answered(node: Node, path: str, code: int) -> None:
    del node
    assert answer(f"{API_URL}{path}") == code


@pytest.mark.parametrize("port", [10257, 10259])
def test_control_plane_metrics_need_a_name(node: Node, port: int) -> None:
    del node
    assert answer(f"https://127.0.0.1:{port}/metrics") in (401, 403)
    assert answer(f"https://127.0.0.1:{port}/healthz") == 200


def test_the_kubelet_answers_nobody_without_a_name(node: Node) -> None:
    del node
    assert answer("https://10.243.0.1:10250/pods") == 401


def test_etcd_answers_only_who_has_a_certificate_of_its_authority(node: Node) -> None:
    del node
    for certificate in (None, "admin"):
        with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
            etcd("/v3/kv/range", {"key": "AA=="}, certificate)


def test_a_component_has_its_own_rights_only(node: Node) -> None:
    for name, verb, resource in (
        ("system:kube-scheduler", "get", "secrets"),
        ("system:kube-proxy", "list", "secrets"),
        ("kube-router", "list", "secrets"),
        ("csi-provisioner", "list", "secrets"),
        ("csi-provisioner", "create", "pods"),
    ):
        with pytest.raises(CalledProcessError) as refused:
            node.kubectl("auth", "can-i", verb, resource, "--all-namespaces", f"--as={name}")
        assert refused.value.stdout.strip() == "no", (name, verb, resource)


def test_keys_and_state_are_roots_alone(node: Node) -> None:
    del node
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (STATE, RUN, PKI)} == {0o700}
    private = [
        KUBECONFIG,
        *PKI.glob("*.key"),
        *(STATE / "config").glob("*.kubeconfig"),
        STATE / "config" / "encryption.json",
    ]
    assert {stat.S_IMODE(file.stat().st_mode) for file in private} == {0o600}


def answer(url: str) -> int:
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code


def etcd(path: str, body: dict[str, str], certificate: str | None) -> Any:
    context = ssl.create_default_context(cafile=str(PKI / "etcd-ca.crt"))
    if certificate:
        context.load_cert_chain(PKI / f"{certificate}.crt", PKI / f"{certificate}.key")
    request = urllib.request.Request(f"https://127.0.0.1:23790{path}", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10, context=context) as response:
        return json.loads(response.read())


def in_etcd(key: str) -> bytes:
    """Return what etcd has stored under a key, as it lies on the disk."""
    found = etcd("/v3/kv/range", {"key": base64.b64encode(key.encode()).decode()}, "etcd-client")
    return base64.b64decode(found["kvs"][0]["value"])


def test_the_audit_log_is_where_only_root_reads(node: Node) -> None:
    del node
    assert stat.S_IMODE((LOGS / "audit.log").stat().st_mode) & 0o077 == 0
