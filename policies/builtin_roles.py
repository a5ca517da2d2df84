"""The roles that every API server has, which no stack's objects show: what they hold that matters to a rule, not all they hold."""

from typing import Any

from policies.rule import Manifest

_AGGREGATE = "rbac.authorization.k8s.io/aggregate-to-"
_READ = ("get", "list", "watch")
_CHANGE = ("create", "delete", "deletecollection", "patch", "update")
_CORE = (
    "configmaps",
    "endpoints",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "serviceaccounts",
    "services",
)
_APPS = ("daemonsets", "deployments", "replicasets", "statefulsets")
_INSIDE = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")


def _rule(verbs: tuple[str, ...], group: str, *resources: str, names: tuple[str, ...] = ()) -> Manifest:
    rule: Manifest = {"verbs": list(verbs), "apiGroups": [group], "resources": list(resources)}
    return {**rule, "resourceNames": list(names)} if names else rule


def _role(name: str, *rules: Manifest, to: str = "", gathers: str = "", namespace: str = "") -> Manifest:
    labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
    metadata: dict[str, Any] = {"name": name, "labels": labels}
    if to:
        labels[f"{_AGGREGATE}{to}"] = "true"
    if namespace:
        metadata["namespace"] = namespace
    role: Manifest = {"kind": "Role" if namespace else "ClusterRole", "metadata": metadata, "rules": list(rules)}
    selectors = [{"matchLabels": {f"{_AGGREGATE}{gathers}": "true"}}]
    return {**role, "aggregationRule": {"clusterRoleSelectors": selectors}} if gathers else role


BUILT_IN: tuple[Manifest, ...] = (
    _role("cluster-admin", _rule(("*",), "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}),
    _role("admin", gathers="admin"),
    _role("edit", gathers="edit", to="admin"),
    _role("view", gathers="view", to="edit"),
    _role(
        "system:aggregate-to-admin",
        _rule(("create",), "authorization.k8s.io", "localsubjectaccessreviews"),
        _rule((*_READ, *_CHANGE), "rbac.authorization.k8s.io", "roles", "rolebindings"),
        to="admin",
    ),
    _role(
        "system:aggregate-to-edit",
        _rule(_READ, "", *_INSIDE, "secrets", "services/proxy"),
        _rule(("impersonate",), "", "serviceaccounts"),
        _rule(_CHANGE, "", "pods", *_INSIDE, "services/proxy"),
        _rule(("create",), "", "pods/eviction", "serviceaccounts/token"),
        _rule(_CHANGE, "", *(each for each in _CORE if each != "endpoints"), "events", "secrets"),
        _rule(_CHANGE, "apps", *_APPS, "deployments/rollback", "deployments/scale", "statefulsets/scale"),
        _rule(_CHANGE, "batch", "cronjobs", "jobs"),
        _rule(_CHANGE, "autoscaling", "horizontalpodautoscalers"),
        _rule(_CHANGE, "networking.k8s.io", "ingresses", "networkpolicies"),
        _rule(_CHANGE, "policy", "poddisruptionbudgets"),
        _rule((*_READ, *_CHANGE), "coordination.k8s.io", "leases"),
        to="edit",
    ),
    _role(
        "system:aggregate-to-view",
        _rule(_READ, "", *_CORE, "events", "limitranges", "namespaces", "pods/log", "pods/status", "resourcequotas"),
        _rule(_READ, "discovery.k8s.io", "endpointslices"),
        _rule(_READ, "apps", *_APPS),
        _rule(_READ, "batch", "cronjobs", "jobs"),
        _rule(_READ, "autoscaling", "horizontalpodautoscalers"),
        _rule(_READ, "networking.k8s.io", "ingresses", "networkpolicies"),
        _rule(_READ, "policy", "poddisruptionbudgets"),
        to="view",
    ),
    _role(
        "system:auth-delegator",
        _rule(("create",), "authentication.k8s.io", "tokenreviews"),
        _rule(("create",), "authorization.k8s.io", "subjectaccessreviews"),
    ),
    _role("system:discovery", {"verbs": ["get"], "nonResourceURLs": ["/api", "/apis", "/openapi", "/version"]}),
    _role("system:monitoring", {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/livez", "/metrics", "/readyz"]}),
    _role(
        "extension-apiserver-authentication-reader",
        _rule(_READ, "", "configmaps", names=("extension-apiserver-authentication",)),
        namespace="kube-system",
    ),
)
