"""Each type of resource that a program may register, and what becomes of it. A type that is not here is refused until it is.

Before a Kubernetes kind is added, rules have to judge what can be wrong with it; a line says which, or why none needs to.
"""

import re
from collections.abc import Mapping

_OBJECT = re.compile(r"(kubernetes:[^:/]+)/[^:/]+(:\w+)")

_KINDS: Mapping[str, Mapping[str, str]] = {
    "admissionregistration.k8s.io": {
        "ValidatingAdmissionPolicy": "repeats the rules of this pack in the cluster, and is made of them",
        "ValidatingAdmissionPolicyBinding": "as above",
    },
    "apps": {
        "DaemonSet": "pod-*, workload-*",
        "Deployment": "pod-*, workload-*",
        "StatefulSet": "pod-*, workload-*, database-*",
    },
    "autoscaling": {"HorizontalPodAutoscaler": "workload-autoscaler"},
    "batch": {"CronJob": "pod-*, workload-*", "Job": "pod-*, workload-*"},
    "cert-manager.io": {
        "Certificate": "its issuer and its Secret are named by others; workload-configuration-exists",
        "ClusterIssuer": "of the stack's own authority",
    },
    "core": {
        "ConfigMap": "workload-configuration-exists",
        "LimitRange": "namespace-bounded",
        "Namespace": "namespace-*",
        "PersistentVolumeClaim": "database-*",
        "PersistentVolumeClaimPatch": "changes the size of a StatefulSet's claim, and nothing else of it",
        "ResourceQuota": "namespace-bounded",
        "Secret": "program-secret-outputs",
        "Service": "service-*",
        "ServiceAccount": "account-*",
    },
    "networking.k8s.io": {"NetworkPolicy": "network-*"},
    "policy": {"PodDisruptionBudget": "workload-disruption-budget"},
    "rbac.authorization.k8s.io": {
        "ClusterRole": "role-*",
        "ClusterRoleBinding": "role-*",
        "Role": "role-*",
        "RoleBinding": "role-*",
    },
    "scheduling.k8s.io": {"PriorityClass": "only an order; workload-class-exists"},
    "snapshot.storage.k8s.io": {"VolumeSnapshotClass": "says who makes snapshots; who may ask for one is in Roles"},
    "storage.k8s.io": {"StorageClass": "database-volumes-retained"},
}
_OTHERS: Mapping[str, str] = {
    "pulumi:pulumi:Stack": "the program itself",
    "pulumi:providers:kubernetes": "program-one-cluster",
    "pulumi:providers:random": "has no settings",
    "random:index/randomBytes:RandomBytes": "program-strong-secret",
    "random:index/randomPassword:RandomPassword": "program-strong-secret",
    "tls:index/privateKey:PrivateKey": "program-strong-secret",
    "pulumi:providers:tls": "program-one-cluster",
}
_COMPONENTS = "platform:index:"
"""The program's own components: they do nothing but register others."""

TYPES: Mapping[str, str] = {
    **_OTHERS,
    **{f"kubernetes:{group}:{kind}": why for group, kinds in _KINDS.items() for kind, why in kinds.items()},
}
"""Why a program may register each type. A Kubernetes kind is without its version, which has a rule of its own."""


def known(token: str) -> bool:
    """Return whether a program may register resources of this type."""
    return token.startswith(_COMPONENTS) or _OBJECT.sub(r"\1\2", token) in TYPES
