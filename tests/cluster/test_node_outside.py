"""The node and the machine's neighbours: nothing of it answers them, and no packet for it goes to them."""

import json
import socket
import subprocess
from collections.abc import Generator

import pytest

from local.node.layout import PORTS
from tests.cluster import packets
from tests.cluster.conftest import Node, eventually

NEIGHBOUR = "platform-node-neighbour"
MACHINE = "198.51.100.1"
NODE_PORT = 30998


@pytest.fixture
def neighbour() -> Generator[list[str]]:
    """Play a neighbour on the machine's network, who routes everything to the machine."""
    with packets.namespace(NEIGHBOUR, machine=f"{MACHINE}/30", addresses=["198.51.100.2/30"]) as where:
        yield where


@pytest.fixture
def pod(node: Node) -> Generator[str]:
    """Return the address of a pod that anybody in the cluster may call, with a NodePort in front of it."""
    spec = {"type": "NodePort", "selector": {"k8s-app": "kube-dns"}, "ports": [{"port": 53, "nodePort": NODE_PORT}]}
    metadata = {"name": "node-outside", "namespace": "kube-system"}
    node.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec})
    eventually("it answers on loopback", lambda: socket.create_connection(("127.0.0.1", NODE_PORT), 2).close() is None)
    yield node.get("pods", "--namespace=kube-system", "--selector=k8s-app=kube-dns")["items"][0]["status"]["podIP"]
    node.kubectl("delete", "service", "node-outside", "--namespace=kube-system")


def test_a_neighbour_reaches_neither_node_nor_pods_nor_services(neighbour: list[str], pod: str) -> None:
    """All of these answer on this machine; the one port that must answer the neighbour is not the node's."""
    ports = [*(port for numbers in PORTS.values() for port in numbers), NODE_PORT]
    targets = [(address, port) for address in (MACHINE, "10.243.0.1") for port in ports]
    targets += [(pod, 53), ("10.96.0.10", 53), ("10.96.0.1", 443)]
    with socket.create_server((MACHINE, 0)) as control:
        allowed = (MACHINE, control.getsockname()[1])
        assert packets.reached(neighbour, [*targets, allowed]) == {allowed}


@pytest.mark.parametrize("address", ["10.96.77.77", "10.244.0.250"])
def test_a_packet_for_nobody_stays_on_the_machine(node: Node, address: str) -> None:
    del node
    found = subprocess.run(["ip", "-json", "route", "get", address], capture_output=True, text=True, check=True)
    (route,) = json.loads(found.stdout)
    assert route["dev"] in ("platform0", "cni0")
