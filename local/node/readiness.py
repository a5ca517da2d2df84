"""When the node can be used: the machine is a node, names resolve, figures are served, volumes can be claimed."""

from typing import Any

from local.node.cluster import Cluster
from local.node.daemon import wait_for
from local.node.layout import NODE_NAME, STORAGE_CLASS
from local.problem import Problem


def wait(cluster: Cluster, timeout: float) -> None:
    """Wait until nothing is left to complain about; else a Problem says what is."""
    left: list[str] = []

    def done() -> bool:
        left[:] = complaints(cluster)
        return not left

    if not wait_for(done, timeout, poll=0.25):
        raise Problem(f"the cluster is not ready after {timeout:.0f} s:\n" + "\n".join(left))


def complaints(cluster: Cluster) -> list[str]:
    """Return one line for everything in the cluster that is not ready."""
    try:
        listed = cluster.get(
            "node,deployment.apps,apiservice.apiregistration.k8s.io,storageclass.storage.k8s.io",
            "--namespace=kube-system",
        )
    except Problem as problem:
        return [f"the API does not answer: {problem}"]
    found = {(item["kind"], item["metadata"]["name"]): item for item in listed["items"]}
    return [
        line
        for kind, name, condition in (
            ("Node", NODE_NAME, "Ready"),
            ("Deployment", "coredns", "Available"),
            ("Deployment", "metrics-server", "Available"),
            ("APIService", "v1beta1.metrics.k8s.io", "Available"),
            ("StorageClass", STORAGE_CLASS, ""),
        )
        if (line := _complaint(kind, name, condition, found.get((kind, name))))
    ]


def _complaint(kind: str, name: str, condition: str, item: Any) -> str:
    if item is None:
        return f"{kind} {name}: it is missing; `make up` creates it again"
    if not condition:
        return ""
    said = {entry["type"]: entry for entry in item.get("status", {}).get("conditions", ())}.get(condition, {})
    if said.get("status") == "True":
        return _rollout(item) if kind == "Deployment" else ""
    return f"{kind} {name}: not {condition}: {said.get('message') or said.get('reason') or 'it has not said why'}"


def _rollout(item: Any) -> str:
    # Available speaks of any pods, also of those that a failing newer edition has not replaced yet.
    name, spec, status = item["metadata"]["name"], item["spec"], item["status"]
    current = status.get("observedGeneration") == item["metadata"]["generation"]
    if (
        current
        and status.get("updatedReplicas") == spec["replicas"] == status.get("availableReplicas") == status["replicas"]
    ):
        return ""
    return f"Deployment {name}: its newest edition is not running yet"
