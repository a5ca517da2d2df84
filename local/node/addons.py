"""What is in the cluster itself before anyone uses it: names, figures, storage, and rights for the node's processes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from local.node import dns, metrics, storage
from local.node.cluster import Cluster
from local.node.objects import Object, cluster_binding, cluster_role, rule, user

REGISTRY = "registry.k8s.io/"
"""What the node runs itself comes from there, and nothing else does."""

COREDNS = f"{REGISTRY}coredns/coredns"
METRICS_SERVER = f"{REGISTRY}metrics-server/metrics-server"


def apply(cluster: Cluster, references: Mapping[str, str], nameservers: Sequence[str], binaries: Path) -> None:
    """Apply everything; what is there already stays as it is. `references` are the images of the two above."""
    definitions = sorted((binaries / "crds").glob("*.yaml"))
    cluster.apply(
        [
            *rights(),
            *dns.coredns(references[COREDNS], nameservers),
            *metrics.metrics_server(references[METRICS_SERVER]),
            *storage.classes(),
            *storage.rights(),
        ],
        definitions,
    )
    if definitions:
        cluster.kubectl(
            "wait", "--for=condition=Established", "--timeout=30s", *(f"--filename={file}" for file in definitions)
        )
        cluster.apply(storage.snapshots())


def rights() -> list[Object]:
    """Return the rights of the API server at the kubelet, and of kube-router."""
    return [
        cluster_binding(
            "platform-node:kubelet-client", "system:kubelet-api-admin", user("kube-apiserver-kubelet-client")
        ),
        cluster_role(
            "platform-node:kube-router",
            [
                rule("", "namespaces pods services nodes endpoints", "get list watch"),
                rule("networking.k8s.io", "networkpolicies", "get list watch"),
                rule("discovery.k8s.io", "endpointslices", "get list watch"),
            ],
        ),
        cluster_binding("platform-node:kube-router", "platform-node:kube-router", user("kube-router")),
    ]
