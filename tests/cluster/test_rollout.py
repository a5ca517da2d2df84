"""Every pod is replaced under load, by a rollout and by a drain: no request fails, and no job that was taken is lost."""

import json
from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster import site
from tests.cluster.conftest import Node, Platform, eventually
from tests.cluster.database import Database
from tests.cluster.load import load

_SERVING = ("frontend", "api")
_KEEPING = ("postgres", "redis")


@pytest.fixture(scope="module", autouse=True)
def _site(platform: Platform) -> Generator[None]:
    site.deploy(platform.node)
    yield
    site.remove(platform.node)


def running(node: Node) -> list[Any]:
    """Return the platform's pods that run, those that are being deleted too."""
    listed = [pod for space in ("app", "data") for pod in node.get("pods", f"--namespace={space}")["items"]]
    return [pod for pod in listed if pod["status"]["phase"] == "Running"]


def uids(node: Node, *names: str) -> set[str]:
    """Return the ids of the pods that run, or of those of these workloads."""
    return {
        pod["metadata"]["uid"]
        for pod in running(node)
        if not names or pod["metadata"]["labels"]["app.kubernetes.io/name"] in names
    }


def test_a_rollout_of_every_tier_fails_no_request(platform: Platform) -> None:
    node = platform.node
    database = Database(node)
    eventually("all servers are well", database.healthy, 120)
    before = uids(node, *_SERVING, *_KEEPING)
    rollouts = [
        *((f"deployment/{name}", "app") for name in _SERVING),
        *((f"statefulset/{name}", "data") for name in _KEEPING),
    ]
    with load(platform):
        for what, namespace in rollouts:
            node.kubectl("rollout", "restart", what, f"--namespace={namespace}")
        for what, namespace in rollouts:
            node.kubectl("rollout", "status", what, f"--namespace={namespace}", "--timeout=300s")
        # The old pods still leave when the new ones serve.
        eventually("all old pods are gone", lambda: not before & uids(node), 60)
    eventually("all servers are well again", database.healthy, 120)


def evict(node: Node, pod: Any) -> None:
    """Ask for the eviction of a pod, as `kubectl drain` does."""
    where = {key: pod["metadata"][key] for key in ("name", "namespace")}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": where}
    path = f"/api/v1/namespaces/{where['namespace']}/pods/{where['name']}/eviction"
    node.kubectl("create", "--raw", path, "--filename=-", stdin=json.dumps(eviction))


@pytest.fixture
def two_of_each(platform: Platform) -> Generator[None]:
    """Have two pods of what stands between a client and its row, as every stack but dev has: a drain takes a pod before it has a successor."""
    node = platform.node
    workloads = [*((name, "app") for name in _SERVING), ("pgbouncer", "data")]

    def at_least(count: int) -> None:
        for name in _SERVING:
            patch = json.dumps({"spec": {"minReplicas": count}})
            node.kubectl("patch", "horizontalpodautoscaler", name, "--namespace=app", f"--patch={patch}")

    at_least(2)
    for name, namespace in workloads:
        node.kubectl("scale", f"deployment/{name}", "--replicas=2", f"--namespace={namespace}")
    for name, namespace in workloads:
        node.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={namespace}", "--timeout=120s")
    yield
    at_least(1)
    node.kubectl("scale", "deployment/pgbouncer", "--replicas=1", "--namespace=data")


@pytest.mark.usefixtures("two_of_each")
def test_the_drain_of_a_node_with_one_pod_of_every_tier_fails_no_request(platform: Platform) -> None:
    """The pods are those of one node of several, and the leading ones; with one node, new ones start where the old ones were."""
    node = platform.node
    database = Database(node)
    eventually("all servers are well", database.healthy, 120)
    # One pod of each workload, by the workload's name; of those that have a leader, the leader.
    pods = {pod["metadata"]["labels"]["app.kubernetes.io/name"]: pod for pod in reversed(running(node))}
    pods["postgres"] = database.pods("primary")[database.primary()]
    assert pods["redis"]["metadata"]["name"] == "redis-0"
    (machine,) = node.get("nodes")["items"]
    gone = {pod["metadata"]["uid"] for pod in pods.values()}
    with load(platform):
        node.kubectl("cordon", machine["metadata"]["name"])
        try:
            for pod in pods.values():
                evict(node, pod)
        finally:
            node.kubectl("uncordon", machine["metadata"]["name"])
        eventually("all evicted pods are gone", lambda: not gone & uids(node), 120)
        eventually("all servers are well again", database.healthy, 120)
        for namespace, kind in (("app", "deployments"), ("data", "deployments,statefulsets")):
            for item in node.get(kind, f"--namespace={namespace}")["items"]:
                what = f"{item['kind']}/{item['metadata']['name']}"
                node.kubectl("rollout", "status", what, f"--namespace={namespace}", "--timeout=120s")
