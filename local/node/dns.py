"""CoreDNS: the names of the cluster, and the machine's own resolver for the others."""

from collections.abc import Sequence

from local.node.layout import DNS_ADDRESS
from local.node.objects import (
    CONTAINER_SECURITY,
    NAMESPACE,
    POD_SECURITY,
    Object,
    account,
    account_subject,
    cluster_binding,
    cluster_role,
    deployment,
    meta,
    rule,
    service,
)


def coredns(image: str, nameservers: Sequence[str]) -> list[Object]:
    """Names in the cluster; names outside it only if the machine itself has a resolver that a pod can reach."""
    labels = {"k8s-app": "kube-dns"}
    outside = (
        f"forward . {' '.join(nameservers)} {{\n    max_concurrent 1000\n    failfast_all_unhealthy_upstreams\n  }}"
        if nameservers
        else "template ANY ANY {\n    rcode NXDOMAIN\n  }"
    )
    corefile = f"""cluster.local in-addr.arpa ip6.arpa {{
  errors
  kubernetes cluster.local in-addr.arpa ip6.arpa {{
    pods insecure
    ttl 10
  }}
  cache 10
  loadbalance
}}
. {{
  errors
  health :8080 {{
    lameduck 5s
  }}
  ready :8181
  prometheus :9153
  {outside}
  cache 30
}}
"""
    container = {
        "name": "coredns",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"memory": "170Mi"}},
        "ports": [
            {"name": "dns", "containerPort": 53, "protocol": "UDP"},
            {"name": "dns-tcp", "containerPort": 53, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9153, "protocol": "TCP"},
        ],
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "failureThreshold": 5, "timeoutSeconds": 5},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 2, "timeoutSeconds": 2},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
        "securityContext": CONTAINER_SECURITY,
    }
    pod = {
        "serviceAccountName": "coredns",
        "priorityClassName": "system-cluster-critical",
        "dnsPolicy": "Default",
        # Port 53 without root or a capability. It must be 53: NetworkPolicy sees the pod's port, not the Service's.
        "securityContext": {
            **POD_SECURITY,
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "53"}],
        },
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
        {"name": "metrics", "port": 9153, "protocol": "TCP", "targetPort": 9153},
    ]
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta("coredns", NAMESPACE),
        "data": {"Corefile": corefile},
    }
    rules = [
        rule("", "endpoints services pods namespaces", "list watch"),
        rule("discovery.k8s.io", "endpointslices", "list watch"),
    ]
    return [
        account("coredns"),
        cluster_role("system:coredns", rules),
        cluster_binding("system:coredns", "system:coredns", account_subject("coredns")),
        config,
        deployment("coredns", labels, pod, config),
        service("kube-dns", labels, ports, clusterIP=DNS_ADDRESS),
    ]
