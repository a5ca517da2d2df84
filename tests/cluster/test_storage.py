"""Volumes on the real node: they keep, grow, fill up and come back from snapshots as a disk does, and leave nothing behind."""

import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from local.node.layout import VOLUMES
from tests.cluster.conftest import Node, eventually

USER = 10001
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Volumes:
    """A namespace of its own, as strict as that of the platform, with claims and pods that use them."""

    node: Node
    image: str
    namespace: str
    user: int = USER
    memory: str = "64Mi"

    def claim(
        self, name: str, size: str = "300Mi", snapshot: str | None = None, storage_class: str = "platform-general"
    ) -> None:
        """Ask for a volume, empty or with the content of a snapshot."""
        spec: dict[str, Any] = {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        }
        if snapshot:
            spec["dataSource"] = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot}
        self._apply("v1", "PersistentVolumeClaim", name, spec)

    def pod(self, name: str, *claims: str) -> None:
        """Start a pod that has each of the claims at /NAME, and wait until it runs."""
        container = {
            "name": "shell",
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "infinity"],
            "volumeMounts": [{"name": claim, "mountPath": f"/{claim}"} for claim in claims],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": self.memory}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        spec = {
            "containers": [container],
            "volumes": [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": self.user,
                "runAsGroup": self.user,
                "fsGroup": self.user,
                "fsGroupChangePolicy": "OnRootMismatch",  # else the kubelet makes every restored file group-writable
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
        }
        self._apply("v1", "Pod", name, spec)
        self.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

    def shell(self, pod: str, script: str) -> str:
        """Return what a script prints inside the pod; raise CalledProcessError if it fails."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script).strip()

    def size(self, pod: str, path: str) -> int:
        """Return the bytes that `df` in the pod gives as the size of the file system at `path`."""
        return int(self.shell(pod, f"df -P -k {path}").splitlines()[-1].split()[1]) * 1024

    def snapshot(self, name: str, claim: str) -> None:
        """Take a snapshot, and wait until it can be used."""
        source = {"source": {"persistentVolumeClaimName": claim}}
        self._apply("snapshot.storage.k8s.io/v1", "VolumeSnapshot", name, source)
        self.kubectl("wait", "--for=jsonpath={.status.readyToUse}=true", f"volumesnapshot/{name}", "--timeout=60s")

    def directory(self, claim: str) -> Path:
        """Return where the node keeps the volume of the claim."""
        volume = self.get("persistentvolumeclaim", claim)["spec"]["volumeName"]
        return VOLUMES / "volumes" / self.get("persistentvolume", volume)["spec"]["csi"]["volumeHandle"]

    def get(self, *arguments: str) -> Any:
        """Return an object of the namespace."""
        return self.node.get(f"--namespace={self.namespace}", *arguments)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace."""
        return self.node.kubectl(f"--namespace={self.namespace}", *arguments)

    def _apply(self, version: str, kind: str, name: str, spec: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.node.apply({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


_numbers = count(1)


@pytest.fixture
def volumes(node: Node, image: str) -> Generator[Volumes]:
    """Make a namespace for one test, and remove it with all that is in it."""
    name = f"storage-test-{next(_numbers)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield Volumes(node=node, image=image, namespace=name)
    node.remove(name)


def test_data_outlives_its_pod(volumes: Volumes) -> None:
    volumes.claim("data")
    volumes.pod("first", "data")
    assert volumes.get("persistentvolumeclaim", "data")["status"]["phase"] == "Bound"
    written = volumes.shell("first", "head -c 5000000 /dev/urandom > /data/file && sha256sum < /data/file")
    volumes.kubectl("delete", "pod", "first", "--grace-period=0", "--force")
    volumes.kubectl("wait", "--for=delete", "pod/first", "--timeout=60s")
    volumes.pod("second", "data")
    assert volumes.shell("second", "sha256sum < /data/file") == written


def test_a_volume_grows_while_in_use(volumes: Volumes) -> None:
    volumes.claim("data", "300Mi")
    volumes.pod("user", "data")
    before = volumes.size("user", "/data")
    volumes.claim("data", "600Mi")
    # The kubelet looks at a running pod's volumes about once a minute.
    eventually("df shows the growth", lambda: volumes.size("user", "/data") >= before + 290 * MEBIBYTE, 180)
    eventually(
        "the claim says so",
        lambda: volumes.get("persistentvolumeclaim", "data")["status"]["capacity"]["storage"] == "600Mi",
    )
    assert volumes.get("pod", "user")["status"]["containerStatuses"][0]["restartCount"] == 0
    volumes.shell("user", "head -c 400000000 /dev/zero > /data/file")


def test_a_snapshot_restores_identical_data(volumes: Volumes) -> None:
    volumes.claim("data")
    volumes.pod("user", "data")
    make = "mkdir /data/folder && head -c 5000000 /dev/urandom > /data/folder/file && ln -s file /data/folder/link"
    listing = (
        "cd /{} && find . -type f -exec sha256sum {{}} + && find . -exec stat -c '%n %A %u %g %s %Y' {{}} + | sort"
    )
    volumes.shell("user", make)
    then = volumes.shell("user", listing.format("data"))
    volumes.snapshot("then", "data")
    volumes.shell("user", "rm -r /data/folder && echo changed > /data/since")
    volumes.claim("restored", "400Mi", snapshot="then")  # larger than its source
    volumes.pod("reader", "restored")
    assert volumes.shell("reader", listing.format("restored")) == then
    assert volumes.size("reader", "/restored") > volumes.size("user", "/data")
    volumes.shell("reader", "echo mine > /restored/own")
    assert volumes.shell("user", "ls /data") == "since"


def test_a_full_volume_is_full_for_its_own_pod_only(volumes: Volumes) -> None:
    for name in ("full", "other"):
        volumes.claim(name)
        volumes.pod(f"{name}-user", name)
    with pytest.raises(subprocess.CalledProcessError) as failure:
        volumes.shell("full-user", "dd if=/dev/zero of=/full/file bs=1M")
    assert "No space left on device" in failure.value.stderr
    volumes.shell("other-user", "head -c 100000000 /dev/zero > /other/file && sync /other/file")
    volumes.shell("full-user", "rm /full/file && echo again > /full/file && sync /full/file")


def test_a_kept_volume_outlives_its_claim_until_it_may_go(volumes: Volumes) -> None:
    """As `storage.reclaim: Retain` has it, and docs/troubleshooting.md says how to be rid of it."""
    kept: dict[str, Any] = volumes.node.get("storageclass", "platform-general")
    kept = {**kept, "metadata": {"name": f"kept-{volumes.namespace}"}, "reclaimPolicy": "Retain"}
    volumes.node.apply(kept)
    try:
        volumes.claim("data", storage_class=kept["metadata"]["name"])
        volumes.pod("user", "data")
        directory = volumes.directory("data")
        volume = volumes.get("persistentvolumeclaim", "data")["spec"]["volumeName"]
        volumes.kubectl("delete", "pod/user", "persistentvolumeclaim/data", "--timeout=60s")
        eventually(
            "the volume is released",
            lambda: volumes.node.get("persistentvolume", volume)["status"]["phase"] == "Released",
        )
        assert directory.is_dir()
        change = '{"spec": {"persistentVolumeReclaimPolicy": "Delete"}}'
        volumes.node.kubectl("patch", "persistentvolume", volume, "--patch", change)
        eventually("the volume is gone", lambda: not directory.exists())
    finally:
        volumes.node.kubectl("delete", "storageclass", kept["metadata"]["name"])


def test_deletion_leaves_nothing_on_the_disk(volumes: Volumes) -> None:
    before = set((VOLUMES / "snapshots").iterdir())
    volumes.claim("data")
    volumes.pod("user", "data")
    volumes.snapshot("then", "data")
    directory = volumes.directory("data")
    assert directory.is_dir()
    (taken,) = set((VOLUMES / "snapshots").iterdir()) - before
    volumes.kubectl("delete", "volumesnapshot/then", "pod/user", "persistentvolumeclaim/data", "--timeout=60s")
    eventually("the volume is gone", lambda: not directory.exists())
    eventually("the snapshot is gone", lambda: not taken.exists())
    devices = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=True).stdout
    assert str(directory) not in devices
