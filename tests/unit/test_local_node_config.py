"""The files and command lines of the node: what must hold between them."""

import json
from pathlib import Path
from typing import Any

import pytest

from local.node import apiserver, config, dns, objects, storage
from local.node.layout import CONFIG, DNS_ADDRESS, PKI, PORTS
from local.node.pki import CERTIFICATES
from local.node.processes import Process, table

GUARD = Process(name="guard", command=("/bin/true",))
PROCESSES = {process.name: process for process in table(Path("/binaries"), GUARD)}


def flags(name: str) -> dict[str, str]:
    words = (word.removeprefix("--").partition("=") for word in PROCESSES[name].command[1:])
    return {flag: value for flag, _, value in words}


def test_every_process_waits_only_for_processes_before_it() -> None:
    names = list(PROCESSES)
    for name, process in PROCESSES.items():
        assert all(names.index(needed) < names.index(name) for needed in process.after), name


def test_everything_that_listens_is_asked_whether_it_is_ready() -> None:
    assert [process.name for process in PROCESSES.values() if not process.ready] == ["guard"]
    assert set(PORTS) <= set(PROCESSES)


def test_every_file_a_process_is_told_of_is_one_that_is_made() -> None:
    made = {PKI / f"{certificate.name}.{kind}" for certificate in CERTIFICATES for kind in ("crt", "key")}
    made |= {PKI / f"{name}.{kind}" for name in ("ca", "etcd-ca", "front-proxy-ca") for kind in ("crt", "key")}
    made |= {PKI / "service-accounts.key", PKI / "service-accounts.pub"}
    made |= {CONFIG / f"{name}.kubeconfig" for name in config.CLIENTS}
    made |= {
        CONFIG / f"{name}.json"
        for name in ("authentication", "admission", "audit", "encryption", "kubelet", "kube-proxy")
    }
    made |= {CONFIG / "containerd.toml"}
    for name in PROCESSES:
        told = {Path(value) for value in flags(name).values() if value.startswith((f"{PKI}/", f"{CONFIG}/"))}
        assert told <= made, name


def test_each_client_has_a_certificate_of_its_own() -> None:
    names = {certificate.name: certificate.common_name for certificate in CERTIFICATES}
    assert set(config.CLIENTS) <= set(names)
    assert len(set(names.values()) - {"kube-apiserver"}) == len(names) - 2


def test_the_api_server_is_closed() -> None:
    told = flags("kube-apiserver")
    assert told["authorization-mode"] == "Node,RBAC"
    assert told["profiling"] == "false"
    assert "anonymous-auth" not in told
    authentication: Any = apiserver.authentication()
    paths = [condition["path"] for condition in authentication["anonymous"]["conditions"]]
    assert paths == ["/livez", "/readyz", "/healthz"]


def test_only_loopback_and_the_node_address_listen() -> None:
    kubelet: Any = config.kubelet()
    proxy: Any = config.kube_proxy()
    assert kubelet["address"] == "10.243.0.1"
    assert proxy["nodePortAddresses"] == ["127.0.0.0/8", "10.243.0.1/32"]
    for name in ("kube-controller-manager", "kube-scheduler"):
        assert flags(name)["bind-address"] == "127.0.0.1"


def level(resource: str, verb: str, group: str = "", user: str = "somebody") -> str:
    """Return the level of the first rule of the audit policy that matches, as the API server would choose it."""
    policy: Any = apiserver.audit()
    for rule in policy["rules"]:
        resources = rule.get("resources")
        matches = resources is None or any(
            entry["group"] == group and resource in entry.get("resources", [resource]) for entry in resources
        )
        by_user = user in rule.get("users", [user])
        by_group = rule.get("userGroups", ["system:authenticated"]) == ["system:authenticated"]
        if matches and by_user and by_group and verb in rule.get("verbs", [verb]) and "nonResourceURLs" not in rule:
            return rule["level"]
    return "None"


@pytest.mark.parametrize("verb", ["get", "list", "watch", "create", "update", "patch", "delete"])
@pytest.mark.parametrize("user", ["somebody", "system:apiserver", "kube-router"])
def test_access_to_a_secret_is_always_recorded_and_its_body_never(verb: str, user: str) -> None:
    assert level("secrets", verb, user=user) == "Metadata"


@pytest.mark.parametrize(
    ("resource", "group", "verb", "expected"),
    [
        ("rolebindings", "rbac.authorization.k8s.io", "create", "RequestResponse"),
        ("networkpolicies", "networking.k8s.io", "delete", "RequestResponse"),
        ("deployments", "apps", "patch", "Metadata"),
        ("pods/exec", "", "create", "Metadata"),
        ("pods/exec", "", "get", "Metadata"),
        ("pods", "", "list", "None"),
        ("events", "", "create", "None"),
        ("leases", "coordination.k8s.io", "update", "None"),
    ],
)
def test_what_is_recorded(resource: str, group: str, verb: str, expected: str) -> None:
    assert level(resource, verb, group) == expected


def test_names_outside_the_cluster_are_asked_of_the_machines_resolver_only() -> None:
    def corefile(*resolvers: str) -> str:
        return next(item["data"]["Corefile"] for item in dns.coredns("image", resolvers) if item["kind"] == "ConfigMap")

    assert "forward . 10.0.0.2 {" in corefile("10.0.0.2")
    assert "forward" not in corefile()
    assert "rcode NXDOMAIN" in corefile()


def test_a_changed_corefile_replaces_the_pod() -> None:
    def pod(*resolvers: str) -> Any:
        return next(
            item["spec"]["template"] for item in dns.coredns("image", resolvers) if item["kind"] == "Deployment"
        )

    assert pod("10.0.0.2")["metadata"] != pod()["metadata"]
    assert pod() == pod()


def test_the_dns_service_is_where_the_kubelet_says() -> None:
    service = next(item for item in dns.coredns("image", ()) if item["kind"] == "Service")
    kubelet: Any = config.kubelet()
    assert kubelet["clusterDNS"] == [service["spec"]["clusterIP"]] == [DNS_ADDRESS]


def test_there_is_one_default_class_and_its_volumes_can_grow() -> None:
    found = [item for item in storage.classes() if item["kind"] == "StorageClass"]
    assert [(item["metadata"]["name"], item["allowVolumeExpansion"], item["volumeBindingMode"]) for item in found] == [
        ("standard", True, "WaitForFirstConsumer")
    ]


def test_no_sidecar_may_read_secrets_or_everything() -> None:
    for role in storage.rights():
        words = json.dumps(role)
        assert '"secrets"' not in words
        assert '"*"' not in words


def test_a_process_is_outdated_when_a_file_it_reads_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.node.processes.CONFIG", tmp_path)
    (tmp_path / "one.json").write_text("1")
    (tmp_path / "other.json").write_text("1")
    process = Process(name="one", command=("/bin/true", f"--config={tmp_path}/one.json"))
    first = process.digest
    (tmp_path / "other.json").write_text("2")
    assert process.digest == first
    (tmp_path / "one.json").write_text("2")
    assert process.digest != first


def test_add_ons_are_locked_down() -> None:
    for item in dns.coredns("image", ()):
        if item["kind"] == "Deployment":
            pod = item["spec"]["template"]["spec"]
            assert pod["securityContext"]["runAsNonRoot"] is True
            assert pod["containers"][0]["securityContext"] == objects.CONTAINER_SECURITY
