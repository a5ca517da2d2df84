"""Where volumes come from: classes by purpose, what `make` finds out of a cluster, and what the stack's file says over it."""

import copy
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from local.engine import Cluster
from tests.render import STACKS, Rendered, committed, render, stack_config

CLASSES = {"platform-database", "platform-queue", "platform-general", "platform-scratch"}
EBS = {"provisioner": "ebs.csi.aws.com", "parameters": {"type": "gp3"}}


def with_storage(stack: str, storage: dict[str, Any], there: dict[str, Any] | None = None) -> Rendered:
    """Render a stack with other storage settings, on the node, or where a CONTEXT has `there`."""
    config = copy.deepcopy(stack_config(stack))
    config["platform:settings"]["storage"] = storage
    return render(stack, config if there is None else {**config, "platform:storage": there})


@pytest.mark.parametrize("stack", STACKS)
def test_each_purpose_has_its_class(stack: str) -> None:
    classes = committed(stack).of("StorageClass")
    assert set(classes) == CLASSES
    for manifest in classes.values():
        assert manifest["volumeBindingMode"] == "WaitForFirstConsumer"
        assert manifest["allowVolumeExpansion"] is True
        scratch = manifest["metadata"]["name"] == "platform-scratch"
        assert manifest["reclaimPolicy"] == ("Delete" if stack == "dev" or scratch else "Retain")
        assert manifest["provisioner"] == "hostpath.csi.platform"
        assert "storageclass.kubernetes.io/is-default-class" not in manifest["metadata"]["annotations"]
    (snapshots,) = committed(stack).of("VolumeSnapshotClass").values()
    metadata = snapshots["metadata"]
    assert (metadata["name"], metadata["labels"]["app.kubernetes.io/part-of"]) == ("platform", "platform")
    assert {key: value for key, value in snapshots.items() if key != "metadata"} == {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshotClass",
        "driver": "hostpath.csi.platform",
        "deletionPolicy": "Delete",
    }


@pytest.mark.parametrize("stack", STACKS)
def test_a_disk_is_deleted_only_where_its_claim_is_too(stack: str) -> None:
    for manifest in committed(stack).of("StatefulSet").values():
        (claim,) = manifest["spec"]["volumeClaimTemplates"]
        if manifest["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain":
            made_by = committed(stack).of("StorageClass")[claim["spec"]["storageClassName"]]
            assert made_by["reclaimPolicy"] == "Retain"


def test_a_tier_takes_the_class_of_its_purpose_or_the_one_that_is_named() -> None:
    def classes(rendered: Rendered) -> dict[str, str]:
        return {
            name: manifest["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"]
            for name, manifest in rendered.of("StatefulSet").items()
        }

    purposes = {
        "data/postgres": "platform-database",
        "data/redis": "platform-queue",
        "data/objects": "platform-general",
    }
    assert classes(committed("prod")) == purposes
    config = copy.deepcopy(stack_config("prod"))
    config["platform:settings"]["postgres"]["volume"]["storage_class"] = "fast"
    assert classes(render("prod", config)) == purposes | {"data/postgres": "fast"}


def test_volumes_come_from_where_the_cluster_has_them_by_default() -> None:
    for manifest in with_storage("prod", {}, {**EBS, "snapshots": True}).of("StorageClass").values():
        assert {key: manifest[key] for key in EBS} == EBS


def test_what_the_file_says_goes_over_what_the_cluster_has() -> None:
    encrypted = with_storage("prod", {"parameters": {"encrypted": "true"}}, {**EBS, "snapshots": True})
    for manifest in encrypted.of("StorageClass").values():
        assert manifest["parameters"] == {"type": "gp3", "encrypted": "true"}
    other = with_storage("prod", {"provisioner": "other.example"}, {**EBS, "snapshots": True})
    for manifest in (*other.of("StorageClass").values(), *other.of("VolumeSnapshotClass").values()):
        assert "parameters" not in manifest
        assert "other.example" in (manifest.get("provisioner"), manifest.get("driver"))


def test_a_cluster_without_a_default_class_is_asked_for_a_provisioner() -> None:
    with pytest.raises(pulumi.RunError, match=r"Pulumi\.prod\.yaml: .*storage\.provisioner: required, .* no default"):
        with_storage("prod", {}, {"snapshots": True})
    assert with_storage("prod", {"provisioner": "other.example"}, {"snapshots": True}).of("StorageClass")


def test_a_cluster_without_snapshots_gets_none_unless_they_were_asked_for() -> None:
    without = {**EBS, "snapshots": False}
    with pytest.raises(pulumi.RunError, match=r"storage\.snapshots: the cluster knows no VolumeSnapshot"):
        with_storage("prod", {"snapshots": {"keep": 3}}, without)
    for rendered in (with_storage("prod", {}, without), with_storage("prod", {"snapshots": None})):
        left = [*rendered.of("VolumeSnapshotClass"), *rendered.of("CronJob"), *rendered.of("ServiceAccount")]
        assert not [name for name in left if "snapshots" in name]
        assert not [row for row in rendered.outputs["connections"] if "snapshots" in row["client"]]
        assert set(rendered.of("StorageClass")) == CLASSES


@pytest.mark.parametrize("stack", STACKS)
def test_each_tier_with_data_has_its_snapshots_taken_with_the_least_rights(stack: str) -> None:
    rendered = committed(stack)
    jobs = {name: job for name, job in rendered.of("CronJob").items() if "-snapshots" in name}
    assert set(jobs) == {"data/postgres-snapshots", "data/redis-snapshots"}
    for name, manifest in jobs.items():
        assert manifest["spec"]["concurrencyPolicy"] == "Forbid"
        pod = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == manifest["metadata"]["name"]
        (container,) = pod["containers"]
        env = {item["name"]: item.get("value") for item in container["env"]}
        assert (env["WORKLOAD"], env["KEEP"]) == (name.removeprefix("data/").removesuffix("-snapshots"), "7")
        rights = {
            (resource, verb)
            for rule in rendered.of("Role")[name]["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert rights == {
            ("persistentvolumeclaims", "list"),
            *(("volumesnapshots", verb) for verb in ("create", "list", "delete")),
        }
        (subject,) = rendered.of("RoleBinding")[name]["subjects"]
        assert f"{subject['namespace']}/{subject['name']}" == name


def test_the_image_that_takes_snapshots_can_be_another() -> None:
    config = copy.deepcopy(stack_config("prod"))
    config["platform:images"] = {"platform/snapshots:0.1.0": "registry.example/snapshots:1"}
    jobs = {name: job for name, job in render("prod", config).of("CronJob").items() if "-snapshots" in name}
    for manifest in jobs.values():
        (container,) = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        assert container["image"] == "registry.example/snapshots:1"


def test_the_newest_default_class_is_the_clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubectl that answers for a cluster with three classes, two of them default."""

    def storage_class(name: str, day: int, default: str) -> dict[str, Any]:
        metadata = {
            "name": name,
            "creationTimestamp": f"2026-01-{day:02}T00:00:00Z",
            "annotations": {"storageclass.kubernetes.io/is-default-class": default},
        }
        return {"metadata": metadata, "provisioner": f"{name}.example", "parameters": {"is": name}}

    items = [storage_class("new", 2, "true"), storage_class("old", 1, "true"), storage_class("other", 3, "false")]
    items[0].pop("parameters")
    kubectl = tmp_path / "kubectl"

    def answer(items: list[dict[str, Any]], served: str) -> dict[str, Any]:
        classes = tmp_path / "classes.json"
        classes.write_text(json.dumps({"items": items}))
        kubectl.write_text(f'#!/bin/sh\ncase "$*" in *storageclasses*) cat {classes} ;; *) echo "{served}" ;; esac\n')
        kubectl.chmod(0o755)
        return Cluster(context="theirs").storage()

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    served = "volumesnapshots.snapshot.storage.k8s.io"
    assert answer(items, served) == {"provisioner": "new.example", "parameters": {}, "snapshots": True}
    assert answer(items[1:], "") == {"provisioner": "old.example", "parameters": {"is": "old"}, "snapshots": False}
    assert answer(items[2:], "") == {"snapshots": False}
