"""What the API server is told in files: who may be anonymous, what pods may do, what is recorded, what is encrypted."""

from collections.abc import Mapping

Document = Mapping[str, object]

# Events, leases and health checks are most of the traffic and say nothing about who did what.
_NOISE_USERS = [
    "system:kube-scheduler",
    "system:kube-proxy",
    "system:apiserver",
    "system:node:platform-node",
    "kube-router",
    "csi-provisioner",
    "csi-resizer",
    "csi-snapshotter",
    "snapshot-controller",
]
_READS = ["get", "list", "watch"]


def authentication() -> Document:
    """Let nobody in without a name, but for the health checks."""
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AuthenticationConfiguration",
        "anonymous": {
            "enabled": True,
            "conditions": [{"path": path} for path in ("/livez", "/readyz", "/healthz")],
        },
    }


def admission() -> Document:
    """Hold pods to Pod Security's *baseline* where a namespace's labels say nothing; warn below *restricted*.

    kube-system is exempt: it is ours, and it is where a node agent that needs the host would live.
    """
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "AdmissionConfiguration",
        "plugins": [
            {
                "name": "PodSecurity",
                "configuration": {
                    "apiVersion": "pod-security.admission.config.k8s.io/v1",
                    "kind": "PodSecurityConfiguration",
                    "defaults": {
                        "enforce": "baseline",
                        "enforce-version": "latest",
                        "audit": "restricted",
                        "audit-version": "latest",
                        "warn": "restricted",
                        "warn-version": "latest",
                    },
                    "exemptions": {"usernames": [], "runtimeClasses": [], "namespaces": ["kube-system"]},
                },
            }
        ],
    }


def audit() -> Document:
    """Record who changed what; bodies only where a change of rights or reach is the question, and never a secret's."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "omitManagedFields": True,
        "rules": [
            # Secrets come first, so that no later rule can record a body or leave an access out.
            {
                "level": "Metadata",
                "resources": [
                    {"group": "", "resources": ["secrets", "configmaps", "serviceaccounts/token"]},
                    {"group": "authentication.k8s.io", "resources": ["tokenreviews"]},
                ],
                "userGroups": ["system:authenticated"],
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            },
            {
                "level": "Metadata",
                "resources": [{"group": "", "resources": ["secrets"]}],
                "verbs": _READS,
            },
            {
                "level": "None",
                "nonResourceURLs": ["/livez*", "/readyz*", "/healthz*", "/version", "/openapi*", "/api*"],
            },
            {
                "level": "None",
                "resources": [
                    {"group": "", "resources": ["events"]},
                    {"group": "events.k8s.io", "resources": ["events"]},
                    {"group": "coordination.k8s.io", "resources": ["leases"]},
                ],
            },
            {"level": "None", "users": _NOISE_USERS, "verbs": _READS},
            {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"], "verbs": _READS},
            {"level": "None", "resources": [{"group": "", "resources": ["nodes/status", "pods/status"]}]},
            {
                "level": "RequestResponse",
                "resources": [
                    {"group": "rbac.authorization.k8s.io"},
                    {"group": "networking.k8s.io", "resources": ["networkpolicies"]},
                    {"group": "admissionregistration.k8s.io"},
                ],
                "verbs": ["create", "update", "patch", "delete", "deletecollection"],
            },
            # Somebody inside a container, or asking for more rights than they have, is always of interest.
            {
                "level": "Metadata",
                "resources": [
                    {
                        "group": "",
                        "resources": ["pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers"],
                    }
                ],
            },
            {"level": "None", "verbs": _READS},
            {"level": "Metadata"},
        ],
    }


def encryption(key: str) -> Document:
    """Encrypt Secrets in etcd with `key` (32 bytes in base64); what was written in the clear before stays readable."""
    identity: Document = {"identity": {}}
    return {
        "apiVersion": "apiserver.config.k8s.io/v1",
        "kind": "EncryptionConfiguration",
        "resources": [
            {
                "resources": ["secrets"],
                "providers": [{"secretbox": {"keys": [{"name": "node", "secret": key}]}}, identity],
            }
        ],
    }
