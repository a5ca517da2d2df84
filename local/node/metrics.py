"""metrics-server: what pods and the node use, for `kubectl top` and autoscaling."""

from base64 import b64encode

from local.node.layout import PKI
from local.node.objects import (
    CONTAINER_SECURITY,
    NAMESPACE,
    POD_SECURITY,
    Object,
    account,
    account_subject,
    binding,
    cluster_binding,
    cluster_role,
    deployment,
    meta,
    rule,
    service,
)


def metrics_server(image: str) -> list[Object]:
    """Figures for `kubectl top` and autoscaling, over TLS that is verified on both legs."""
    labels = {"k8s-app": "metrics-server"}
    container = {
        "name": "metrics-server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [
            "--secure-port=10250",
            # The shortest there is: nothing is served before the second reading.
            "--metric-resolution=10s",
            "--kubelet-request-timeout=5s",
            "--kubelet-preferred-address-types=InternalIP",
            "--kubelet-certificate-authority=/etc/cluster/ca.crt",
            "--tls-cert-file=/etc/serving/tls.crt",
            "--tls-private-key-file=/etc/serving/tls.key",
        ],
        "resources": {"requests": {"cpu": "20m", "memory": "48Mi"}, "limits": {"memory": "200Mi"}},
        "ports": [{"name": "https", "containerPort": 10250, "protocol": "TCP"}],
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 10},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "https", "scheme": "HTTPS"}, "periodSeconds": 2},
        "volumeMounts": [
            {"name": "cluster", "mountPath": "/etc/cluster", "readOnly": True},
            {"name": "serving", "mountPath": "/etc/serving", "readOnly": True},
        ],
        "securityContext": CONTAINER_SECURITY,
    }
    pod = {
        "serviceAccountName": "metrics-server",
        "priorityClassName": "system-cluster-critical",
        "securityContext": POD_SECURITY,
        "containers": [container],
        "volumes": [
            # Every namespace has this ConfigMap: the authority that signed the kubelet's certificate.
            {"name": "cluster", "configMap": {"name": "kube-root-ca.crt"}},
            {"name": "serving", "secret": {"secretName": "metrics-server", "defaultMode": 0o440}},
        ],
    }
    certificate = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": meta("metrics-server", NAMESPACE),
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": _encoded("metrics-server.crt"), "tls.key": _encoded("metrics-server.key")},
    }
    aggregation = {f"rbac.authorization.k8s.io/aggregate-to-{role}": "true" for role in ("view", "edit", "admin")}
    return [
        account("metrics-server"),
        cluster_role(
            "system:metrics-server",
            [rule("", "nodes/metrics", "get"), rule("", "pods nodes", "get list watch")],
        ),
        cluster_role(
            "system:aggregated-metrics-reader", [rule("metrics.k8s.io", "pods nodes", "get list watch")], aggregation
        ),
        cluster_binding("system:metrics-server", "system:metrics-server", account_subject("metrics-server")),
        cluster_binding(
            "metrics-server:system:auth-delegator", "system:auth-delegator", account_subject("metrics-server")
        ),
        binding(
            "metrics-server-auth-reader", "extension-apiserver-authentication-reader", account_subject("metrics-server")
        ),
        certificate,
        deployment("metrics-server", labels, pod, certificate),
        service("metrics-server", labels, [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": "https"}]),
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": meta("v1beta1.metrics.k8s.io"),
            "spec": {
                "group": "metrics.k8s.io",
                "version": "v1beta1",
                "service": {"name": "metrics-server", "namespace": NAMESPACE},
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "caBundle": _encoded("ca.crt"),
            },
        },
    ]


def _encoded(name: str) -> str:
    return b64encode((PKI / name).read_bytes()).decode()
