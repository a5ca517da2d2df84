"""The node's network with real packets: a NodePort on loopback, and policy both ways, on a pod's first packet too."""

import os
import signal
import socket
from collections.abc import Generator
from typing import Any

import pytest

from local.node.layout import RUN
from local.node.procfs import Record
from tests.cluster import packets
from tests.cluster.conftest import Node, eventually
from tests.cluster.packets import Address

NAMESPACE = "node-network"
NODE_PORT = 30999
SERVER_PORT = 8080
API = ("10.243.0.1", 6443)
API_SERVICE = ("10.96.0.1", 443)
KUBELET = ("10.243.0.1", 10250)
DNS = ("10.96.0.10", 53)
HOST_PORT = 31999


def policy(name: str, app: str | None, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"podSelector": {"matchLabels": {"app.kubernetes.io/name": app}} if app else {}, **spec},
    }


def pod(name: str, image: str, **container: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": name}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "it", "image": image, "command": ["sleep", "3600"], **container}],
        },
    }


def to(app: str) -> list[dict[str, Any]]:
    return [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": app}}}]


class Network:
    """A server and three clients under default deny: one may call the server, one the API server, one nobody."""

    def __init__(self, node: Node) -> None:
        self.processes = {name: self._process(node, name) for name in ("server", "client", "caller", "stranger")}
        self.server = (node.get("pod", "server", f"--namespace={NAMESPACE}")["status"]["podIP"], SERVER_PORT)
        self.service = (node.get("service", "server", f"--namespace={NAMESPACE}")["spec"]["clusterIP"], 80)
        self.everything = (self.server, self.service, API, API_SERVICE, KUBELET, DNS, (API[0], HOST_PORT))

    @staticmethod
    def _process(node: Node, name: str) -> int:
        (found,) = eventually(f"{name} runs", lambda: node.pods(NAMESPACE, name))
        return node.process(found)

    def reached(self, name: str) -> set[Address]:
        return packets.reached(packets.pod(self.processes[name]), self.everything)


@pytest.fixture(scope="module")
def network(node: Node, image: str) -> Generator[Network]:
    dns = {
        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}}],
        "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
    }
    ports = [{"port": SERVER_PORT}]
    api = {"to": [{"ipBlock": {"cidr": f"{API[0]}/32"}}], "ports": [{"port": API[1]}]}
    probe = {"tcpSocket": {"port": SERVER_PORT}, "periodSeconds": 1}
    service = {
        "type": "NodePort",
        "selector": {"app.kubernetes.io/name": "server"},
        "ports": [{"port": 80, "targetPort": SERVER_PORT, "nodePort": NODE_PORT}],
    }
    node.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        policy("default-deny", None, policyTypes=["Ingress", "Egress"]),
        policy("server", "server", policyTypes=["Ingress"], ingress=[{"from": to("client"), "ports": ports}]),
        policy("client", "client", policyTypes=["Egress"], egress=[{"to": to("server"), "ports": ports}, dns]),
        policy("caller", "caller", policyTypes=["Egress"], egress=[api]),
        pod("server", image, readinessProbe=probe),
        *(pod(name, image) for name in ("client", "caller", "stranger")),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "server", "namespace": NAMESPACE},
            "spec": service,
        },
    )
    made = Network(node)
    inside = packets.pod(made.processes["server"])
    with packets.serving(inside, SERVER_PORT), packets.serving(packets.MACHINE, HOST_PORT):
        eventually("the client reaches the server", lambda: made.service in made.reached("client"))
        yield made
    node.remove(NAMESPACE)


def test_without_a_policy_between_everything_answers(network: Network) -> None:
    """Asked from the node itself: a dead target would make every denial pass."""
    assert packets.reached(packets.MACHINE, network.everything) == set(network.everything)


def test_a_client_reaches_what_its_policies_say_and_nothing_else(network: Network) -> None:
    assert network.reached("client") == {network.server, network.service, DNS}


def test_a_policy_for_the_node_address_opens_the_api_server_by_both_its_addresses(network: Network) -> None:
    assert network.reached("caller") == {API, API_SERVICE}


def test_default_deny_leaves_nothing(network: Network) -> None:
    assert network.reached("stranger") == set()


def test_the_kubelets_probe_passes_under_default_deny(node: Node, network: Network) -> None:
    del network
    found = node.get("pod", "server", f"--namespace={NAMESPACE}")
    assert found["status"]["containerStatuses"][0]["ready"]


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "10.243.0.1"])
def test_a_node_port_answers_on_this_machines_loopback(network: Network, address: str) -> None:
    del network
    with socket.create_connection((address, NODE_PORT), timeout=5) as connection:
        assert connection.recv(16) == b"served"


def test_a_new_pod_reaches_nobody_that_has_a_policy_until_its_own_are_in_force(
    node: Node, network: Network, image: str
) -> None:
    """The moment between a pod's first packet and its policies, made long by halting what puts them in force."""
    record = Record.read(RUN / "processes" / "kube-router.json")
    assert record
    os.kill(record.pid, signal.SIGSTOP)
    try:
        # It carries the client's label, so that its policies will allow it the server.
        late = pod("late", image)
        late["metadata"]["labels"] = {"app.kubernetes.io/name": "client", "late": "yes"}
        node.apply(late)
        found = eventually(
            "the late pod runs",
            lambda: [one for one in node.pods(NAMESPACE, "client") if one["metadata"]["name"] == "late"],
        )
        inside = packets.pod(node.process(found[0]))
        # Who is open to everybody, as CoreDNS is, is open to it: the server's side says that, and is in force.
        assert packets.reached(inside, network.everything) == {DNS}
    finally:
        os.kill(record.pid, signal.SIGCONT)
    eventually("its policies are in force", lambda: network.server in packets.reached(inside, network.everything))
    assert packets.reached(inside, network.everything) == {network.server, network.service, DNS}
