"""Where volumes and their snapshots come from."""

from collections.abc import Mapping

import pulumi
from pulumi_kubernetes import meta, storage

from components.labels import ANNOTATIONS
from components.settings import StorageSettings

DATABASE = "platform-database"
QUEUE = "platform-queue"
GENERAL = "platform-general"
"""The class of each purpose; `volume.storage_class` in the settings names another."""

SCRATCH = "platform-scratch"
"""The class of a volume that is made for one pod, and whose disk goes with it whatever `reclaim` says."""

SNAPSHOTS = "platform"
"""The class of snapshots."""

_LABELS = {
    "app.kubernetes.io/part-of": "platform",
    "app.kubernetes.io/component": "storage",
    "app.kubernetes.io/managed-by": "pulumi",
}


class Storage(pulumi.ComponentResource):
    """A StorageClass for each purpose, and the class of their snapshots where the cluster can take some.

    A volume is made where its first pod runs, can grow while it is used, and outlives its claim if `reclaim` says so. The classes
    of data are alike; that they are three lets each be told from the others, and a cluster's owner replace one.
    """

    def __init__(self, name: str, args: StorageSettings, *, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("platform:index:Storage", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        for purpose in (DATABASE, QUEUE, GENERAL, SCRATCH):
            storage.v1.StorageClass(
                purpose,
                metadata=_metadata(purpose),
                provisioner=args.provisioner,
                parameters=args.parameters or None,
                volume_binding_mode="WaitForFirstConsumer",
                allow_volume_expansion=True,
                reclaim_policy="Delete" if purpose == SCRATCH else args.reclaim,
                opts=child,
            )
        if args.snapshots:
            _SnapshotClass(f"{SNAPSHOTS}-snapshots", args.provisioner, child)
        self.register_outputs({"classes": [DATABASE, QUEUE, GENERAL, SCRATCH]})


class _SnapshotClass(pulumi.CustomResource):
    """A VolumeSnapshotClass, whose fields stand beside `metadata`, where the generated CustomResource has only a `spec`.

    Its snapshots go with the objects that stand for them: the retention counts on that.
    """

    def __init__(self, name: str, driver: str, opts: pulumi.ResourceOptions) -> None:
        content: Mapping[str, pulumi.Input[object]] = {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotClass",
            "metadata": _metadata(SNAPSHOTS),
            "driver": driver,
            "deletionPolicy": "Delete",
        }
        super().__init__("kubernetes:snapshot.storage.k8s.io/v1:VolumeSnapshotClass", name, dict(content), opts)


def _metadata(name: str) -> meta.v1.ObjectMetaArgs:
    return meta.v1.ObjectMetaArgs(name=name, labels=_LABELS, annotations=ANNOTATIONS)
