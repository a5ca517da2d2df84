"""Who reaches whom, with real packets: exactly what the connection table says, from every pod, and nothing else.

The policy pack's evaluator is held to the same packets.

The test connects from inside each pod's own network namespace, so the packets are the pod's. The metadata address and
the Internet are played by a network namespace of the test's own, so that no packet leaves the machine.
"""

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pytest

from policies.reachability import Network
from policies.running import Pod, running
from tests.cluster import packets
from tests.cluster.conftest import Platform, eventually

INTERNET = "203.0.113.10"  # of TEST-NET-3 (RFC 5737), which nobody on the Internet has
METADATA = "169.254.169.254"
OUTSIDE = "platform-outside"  # the namespace that plays both
OUTSIDE_PORTS = (22, 80, 443)

CLIENTS = (
    "app/frontend",
    "app/api",
    "app/worker-scraping",
    "app/worker-processing",
    "app/worker-analytics",
    "app/scheduler",
    "data/objects",
    "data/postgres",
    "data/postgres-exporter",
    "data/pgbouncer",
    "data/redis",
    "data/memcached",
    "security/cert-manager",
)
SERVICES = {
    "app/frontend": ("frontend",),
    "app/api": ("api",),
    "data/objects": ("objects",),
    "data/postgres": ("postgres-primary", "postgres-replicas"),
    "data/postgres-exporter": ("postgres-exporter",),
    "data/pgbouncer": ("pgbouncer",),
    "data/redis": ("redis",),
    "data/memcached": ("memcached",),
}
PORTS = {
    "app/frontend": (8080,),
    "app/api": (8080,),
    # Nobody's business: a worker is asked for its health by the kubelet alone.
    **{f"app/worker-{kind}": (8080,) for kind in ("scraping", "processing", "analytics")},
    "data/objects": (7070,),
    "data/postgres": (5432, 8008, 8432),
    "data/postgres-exporter": (9187,),
    "data/pgbouncer": (6432,),
    "data/redis": (6379,),
    "data/memcached": (11211,),
    "security/cert-manager": (9402, 9403),
}


@dataclass(frozen=True)
class Target:
    """Something a pod may try to reach."""

    name: str
    address: str
    port: int


@pytest.fixture(scope="module")
def _outside() -> Generator[None]:
    """Set up a network namespace that answers for the Internet and the metadata address."""
    machine, addresses = "203.0.113.9/30", [f"{INTERNET}/30", f"{METADATA}/32"]
    with (
        packets.namespace(OUTSIDE, machine=machine, routed=[f"{METADATA}/32"], addresses=addresses) as where,
        packets.serving(where, *OUTSIDE_PORTS, addresses=[INTERNET, METADATA]),
    ):
        yield


@pytest.fixture(scope="module")
def targets(platform: Platform) -> list[Target]:
    """Return every service, every pod behind one, the API server both ways, the node, DNS, metadata, Internet."""
    found: list[Target] = []
    for name, ports in PORTS.items():
        namespace, workload = name.split("/")
        for service in SERVICES.get(name, ()):
            address = platform.node.get("service", service, f"--namespace={namespace}")["spec"]["clusterIP"]
            found.append(Target(f"{name}:{ports[0]}", address, ports[0]))
        for pod in platform.node.pods(namespace, workload):
            found += [Target(f"{name}:{port}", pod["status"]["podIP"], port) for port in ports]
    endpoints = platform.node.get("endpoints", "kubernetes", "--namespace=default")["subsets"][0]["addresses"]
    found.append(Target("api-server:6443", "10.96.0.1", 443))
    found += [Target("api-server:6443", address["ip"], 6443) for address in endpoints]
    found += [Target("kubelet", address["ip"], 10250) for address in endpoints]
    found.append(Target("dns", "10.96.0.10", 53))
    found += [Target("metadata", METADATA, 80)]
    found += [Target(f"internet:{port}", INTERNET, port) for port in OUTSIDE_PORTS]
    return found


def answers(where: Sequence[str], targets: list[Target]) -> set[packets.Address]:
    """Return the addresses of the targets that accept a connection from `where`, the prefix of a command."""
    return packets.reached(where, [(target.address, target.port) for target in targets])


def reached(where: Sequence[str], targets: list[Target]) -> set[str]:
    """Return the names of the targets that accept a connection from `where`, the prefix of a command."""
    return named(targets, answers(where, targets))


def named(targets: list[Target], accepting: set[packets.Address]) -> set[str]:
    """Return the names of the targets that accept a connection."""
    return {target.name for target in targets if (target.address, target.port) in accepting}


def expected(rows: list[dict[str, object]], client: str) -> set[str]:
    """Return what the connection table allows a client, and DNS."""
    named = {f"{row['server']}:{row['port']}" for row in rows if row["client"] == client}
    return {"dns"} | {name for name in named if not name.startswith("demo/site:")}


@pytest.mark.usefixtures("_outside")
def test_the_targets_answer_where_no_policy_stands_between(targets: list[Target]) -> None:
    """From the node itself everything answers: a target that is simply dead would make every denial pass."""
    everything = {target.name for target in targets}
    eventually(f"{everything} answer", lambda: reached(packets.MACHINE, targets) == everything)


@dataclass(frozen=True)
class Client:
    """A pod, and what accepts a connection from it."""

    address: str
    accepting: set[packets.Address]


@pytest.fixture(scope="module")
def clients(_outside: None, platform: Platform, targets: list[Target]) -> dict[str, list[Client]]:
    """Return the pods of each client. They try at the same time, for one that is kept out is not told, and waits."""
    # What a test before has killed must be there again.
    for namespace in sorted({client.split("/")[0] for client in CLIENTS}):
        ready = ["wait", "--for=condition=Ready", "pods", "--field-selector=status.phase=Running", "--timeout=60s"]
        platform.node.kubectl(*ready, f"--namespace={namespace}")
    pods = {client: platform.node.pods(*client.split("/")) for client in CLIENTS}
    with ThreadPoolExecutor(8) as pool:
        tries = {
            client: [(pod, pool.submit(answers, packets.pod(platform.node.process(pod)), targets)) for pod in each]
            for client, each in pods.items()
        }
    return {
        client: [Client(pod["status"]["podIP"], accepting.result()) for pod, accepting in each]
        for client, each in tries.items()
    }


@pytest.fixture(scope="module")
def rows(platform: Platform) -> list[dict[str, object]]:
    """Return the connection table."""
    return platform.outputs()["connections"]


@pytest.mark.parametrize("client", CLIENTS)
def test_each_pod_reaches_exactly_what_the_table_says(
    clients: dict[str, list[Client]], rows: list[dict[str, object]], targets: list[Target], client: str
) -> None:
    assert clients[client]
    for pod in clients[client]:
        found = named(targets, pod.accepting)
        wanted = expected(rows, client)
        itself = {f"{client}:{port}" for port in PORTS.get(client, ())}  # which no policy is asked about
        assert found - (itself - wanted) == wanted


@pytest.fixture(scope="module")
def evaluated(platform: Platform) -> Network:
    """Return what the policy pack makes of the cluster's own objects, with the addresses that the pods have."""
    kinds = ("networkpolicies", "namespaces", "pods")
    found: list[Any] = [item for kind in kinds for item in platform.node.get(kind, "--all-namespaces")["items"]]
    pods = [
        replace(pod, address=item["status"]["podIP"])
        for item in found
        if item["kind"] == "Pod" and item["status"].get("phase") == "Running"
        for pod in running(item)
    ]
    return replace(Network.of(found), pods=pods)


@pytest.mark.parametrize("client", CLIENTS)
def test_the_evaluator_says_what_the_packets_say(
    clients: dict[str, list[Client]], evaluated: Network, targets: list[Target], client: str
) -> None:
    pods = {pod.address: pod for pod in evaluated.pods}
    tried = [target for target in targets if target.address in pods or not target.address.startswith("10.96.")]
    assert clients[client]
    for pod in clients[client]:
        source = pods[pod.address]
        for target in tried:
            there: Pod | str = pods.get(target.address, target.address)
            if there is not source:  # no policy is asked about a pod and itself
                said = evaluated.allowed(source, there, target.port)
                assert said == ((target.address, target.port) in pod.accepting), f"{client} to {target}"


def test_a_pod_in_quarantine_is_off_the_network_and_back_without_the_label(
    platform: Platform, targets: list[Target]
) -> None:
    node = platform.node
    (cache, *_), (client, *_) = node.pods("data", "memcached"), node.pods("app", "api")
    address = (cache["status"]["podIP"], PORTS["data/memcached"][0])
    inside, asking = packets.pod(node.process(cache)), packets.pod(node.process(client))

    def label(change: str) -> None:
        node.kubectl("label", "pod", cache["metadata"]["name"], change, "--namespace=data", "--overwrite")

    def left() -> set[str]:
        return reached(inside, targets) - {f"data/memcached:{address[1]}"}

    assert packets.reached(asking, [address]) == {address}
    assert "dns" in left()
    try:
        label("quarantine=true")
        eventually("nobody reaches it", lambda: not packets.reached(asking, [address]))
        eventually("it reaches nobody", lambda: not left())
    finally:
        label("quarantine-")
    eventually("it is back", lambda: packets.reached(asking, [address]) and "dns" in left())


def test_the_clients_are_every_workload_there_is(platform: Platform) -> None:
    there = {
        f"{item['metadata']['namespace']}/{item['metadata']['name']}"
        for namespace in ("app", "data", "security")
        for item in platform.node.get("deployments,statefulsets", f"--namespace={namespace}")["items"]
    }
    assert there == set(CLIENTS)


@pytest.mark.usefixtures("_outside")
def test_a_stranger_reaches_nothing_of_the_platform(platform: Platform, targets: list[Target]) -> None:
    """A pod of another namespace, with no policy of its own, is kept out by the servers' side alone."""
    image = platform.node.get("statefulset", "redis", "--namespace=data")["spec"]["template"]["spec"]["containers"][0][
        "image"
    ]
    # Its name label is a client's: being called like one in another namespace must not help.
    labels = {"app.kubernetes.io/name": "api", "app.kubernetes.io/part-of": "platform"}
    platform.node.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "stranger"}},
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stranger", "namespace": "stranger", "labels": labels},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "stranger", "image": image, "command": ["sleep", "600"]}],
            },
        },
    )
    try:
        eventually("the stranger runs", lambda: platform.node.pods("stranger", "api"))
        (pod,) = platform.node.pods("stranger", "api")
        found = reached(packets.pod(platform.node.process(pod)), targets)
        assert not {name for name in found if name.startswith(("app/", "data/", "security/"))} - {"app/frontend:8080"}
        assert "dns" in found
    finally:
        platform.node.remove("stranger")
