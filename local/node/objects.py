"""The few kinds of Kubernetes objects that the node's add-ons are made of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]

NAMESPACE = "kube-system"
_RBAC = "rbac.authorization.k8s.io"
_NOBODY = 65532

# What Pod Security calls restricted, for a pod and for a container.
POD_SECURITY: Object = {
    "runAsNonRoot": True,
    "runAsUser": _NOBODY,
    "runAsGroup": _NOBODY,
    "fsGroup": _NOBODY,
    "seccompProfile": {"type": "RuntimeDefault"},
}
CONTAINER_SECURITY: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def meta(name: str, namespace: str | None = None, labels: Mapping[str, str] | None = None) -> Object:
    """Return the metadata of an object of the node's own."""
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "labels": {"app.kubernetes.io/managed-by": "platform-node", **(labels or {})}}


def rule(group: str, resources: str, verbs: str) -> Object:
    """Return one rule; `resources` and `verbs` are separated by spaces."""
    return {"apiGroups": [group], "resources": resources.split(), "verbs": verbs.split()}


def cluster_role(name: str, rules: Sequence[Object], labels: Mapping[str, str] | None = None) -> Object:
    """Return a cluster-wide set of rights."""
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": meta(name, labels=labels), "rules": rules}


def cluster_binding(name: str, role: str, subject: Object) -> Object:
    """Give the cluster-wide `role` to `subject` everywhere."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": meta(name),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }


def binding(name: str, role: str, subject: Object) -> Object:
    """Give the `role` of kube-system to `subject` there."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": meta(name, NAMESPACE),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": role},
        "subjects": [subject],
    }


def user(name: str) -> Object:
    """Return the subject that a client certificate with this common name stands for."""
    return {"kind": "User", "apiGroup": _RBAC, "name": name}


def account(name: str) -> Object:
    """Return a service account in kube-system."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name, NAMESPACE)}


def account_subject(name: str) -> Object:
    """Return the subject of a service account in kube-system."""
    return {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}


def service(name: str, labels: Mapping[str, str], ports: Sequence[Object], **spec: str) -> Object:
    """Return a Service in kube-system for the pods with `labels`."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, NAMESPACE, labels),
        "spec": {"selector": labels, "ports": ports, **spec},
    }


def deployment(name: str, labels: Mapping[str, str], pod: Object, *read: Object) -> Object:
    """Return a Deployment of one pod in kube-system, replaced without a gap, also when an object it `read`s changes."""
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(name, NAMESPACE, labels),
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels, "annotations": {"platform-node/reads": digest}},
                "spec": pod,
            },
        },
    }
