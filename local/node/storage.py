"""Volumes for the cluster: the driver, the default class, snapshots, and the least rights of each CSI sidecar."""

from local.node.layout import STORAGE_CLASS, STORAGE_DRIVER
from local.node.objects import Object, cluster_binding, cluster_role, meta, rule, user

_EVENTS = rule("", "events", "list watch create update patch")
_ROLES: dict[str, list[Object]] = {
    "csi-provisioner": [
        _EVENTS,
        rule("", "persistentvolumes", "get list watch create patch delete"),
        rule("", "persistentvolumeclaims", "get list watch update"),
        rule("", "nodes", "get list watch"),
        rule("storage.k8s.io", "storageclasses csinodes volumeattachments volumeattributesclasses", "get list watch"),
        rule("storage.k8s.io", "csistoragecapacities", "get list watch create update patch delete"),
        rule("snapshot.storage.k8s.io", "volumesnapshots volumesnapshotcontents", "get list watch"),
    ],
    "csi-resizer": [
        _EVENTS,
        rule("", "persistentvolumes", "get list watch patch"),
        rule("", "persistentvolumeclaims pods", "get list watch"),
        rule("", "persistentvolumeclaims/status", "patch"),
        rule("storage.k8s.io", "storageclasses volumeattributesclasses", "get list watch"),
    ],
    "csi-snapshotter": [
        _EVENTS,
        rule("snapshot.storage.k8s.io", "volumesnapshotclasses", "get list watch"),
        rule("snapshot.storage.k8s.io", "volumesnapshotcontents", "get list watch update patch"),
        rule("snapshot.storage.k8s.io", "volumesnapshotcontents/status", "update patch"),
    ],
    "snapshot-controller": [
        _EVENTS,
        rule("", "persistentvolumes nodes", "get list watch"),
        rule("", "persistentvolumeclaims", "get list watch update"),
        rule("storage.k8s.io", "storageclasses", "get list watch"),
        rule("snapshot.storage.k8s.io", "volumesnapshotclasses", "get list watch"),
        rule("snapshot.storage.k8s.io", "volumesnapshotcontents", "get list watch create update patch delete"),
        rule("snapshot.storage.k8s.io", "volumesnapshotcontents/status", "patch"),
        rule("snapshot.storage.k8s.io", "volumesnapshots", "get list watch update patch delete"),
        rule("snapshot.storage.k8s.io", "volumesnapshots/status", "update patch"),
    ],
}


def classes() -> list[Object]:
    """Return the driver and the default class, whose volumes wait for a pod, can grow, and go with their claim."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIDriver",
            "metadata": meta(STORAGE_DRIVER),
            "spec": {
                "attachRequired": False,
                "podInfoOnMount": False,
                "fsGroupPolicy": "File",
                "volumeLifecycleModes": ["Persistent"],
            },
        },
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                **meta(STORAGE_CLASS),
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": STORAGE_DRIVER,
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": True,
            "reclaimPolicy": "Delete",
        },
    ]


def rights() -> list[Object]:
    """Return a role for each sidecar, bound to the name in its certificate."""
    return [
        document
        for name, rules in _ROLES.items()
        for document in (
            cluster_role(f"platform-node:{name}", rules),
            cluster_binding(f"platform-node:{name}", f"platform-node:{name}", user(name)),
        )
    ]


def snapshots() -> list[Object]:
    """Return the default class of snapshots. It needs the snapshot CRDs to be there."""
    return [
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotClass",
            "metadata": {
                **meta(STORAGE_CLASS),
                "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"},
            },
            "driver": STORAGE_DRIVER,
            "deletionPolicy": "Delete",
        }
    ]
