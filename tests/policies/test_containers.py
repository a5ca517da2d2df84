"""A pod is found wherever an object has one, with what is in force for its containers; and nothing else is taken for one."""

from typing import Any

import pytest

from policies.containers import annotations, containers, has_pods, pods
from policies.rule import Manifest, Unreadable, UnreadableError

NONE: list[Any] = []
SETS = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
UNREADABLE = Unreadable("spec", "not known yet")


def operated(**spec: Any) -> Manifest:
    return {"apiVersion": "a.example/v1", "kind": "Engine", "metadata": {}, "spec": spec}


def test_a_container_takes_from_its_pod_what_it_does_not_say_itself() -> None:
    inherited: Manifest = {key: {"type": "a"} for key in ("seccompProfile", "seLinuxOptions", "appArmorProfile")}
    inherited |= {"runAsNonRoot": True, "runAsGroup": 2}
    of_pod = {**inherited, "runAsUser": 1, "privileged": True, "fsGroup": 3}
    pod = {"securityContext": of_pod, "containers": [{"securityContext": {"runAsUser": 4, "runAsGroup": None}}]}
    (container,) = containers({"kind": "Pod", "spec": pod})
    assert container.path == "spec.containers[0]"
    assert container.security == {**inherited, "runAsUser": 4}
    assert container.pod is pod


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ({"apiVersion": "v1", "kind": "Pod", "spec": {}}, "spec"),
        ({"kind": "CronJob", "apiVersion": "batch/v1"}, "spec.jobTemplate.spec.template.spec"),
        *(({"kind": kind, "apiVersion": "apps/v1"}, "spec.template.spec") for kind in SETS),
        ({"kind": "PodTemplate", "apiVersion": "v1"}, "template.spec"),
        ({"kind": "ReplicationController", "apiVersion": "v1"}, "spec.template.spec"),
        ({"kind": "Job", "apiVersion": "batch/v1"}, "spec.template.spec"),
        (operated(containers=NONE), "spec"),
        (operated(initContainers=NONE), "spec"),
        (operated(ephemeralContainers=UNREADABLE), "spec"),
        (operated(hostPID=True), "spec"),
        (operated(hostIPC=UNREADABLE), "spec"),
        (operated(hostNetwork=True, image="a:1"), "spec"),
        (operated(tasks=[{"template": {"spec": {"containers": NONE}}}]), "spec.tasks[0].template.spec"),
        ({**operated(), "kind": "Job", "spec": {"tasks": [{"containers": NONE}]}}, "spec.tasks[0]"),
        ({"kind": "Engine", "containers": NONE}, ""),
    ],
)
def test_a_pod_is_where_its_kind_has_it_or_anywhere(manifest: Manifest, path: str) -> None:
    assert [found for found, _pod in pods(manifest)] == [path]


@pytest.mark.parametrize(
    "manifest",
    [
        {"apiVersion": "v1", "kind": "ConfigMap", "data": {"containers": NONE}},
        {"apiVersion": "v1", "kind": "Secret", "data": {"containers": UNREADABLE, "spec": UNREADABLE}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": UNREADABLE},
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"containers": NONE}},
        operated(containers="two", template=UNREADABLE, hostNetwork="no"),
    ],
)
def test_what_has_no_pod_is_not_taken_for_one(manifest: Manifest) -> None:
    assert not has_pods(manifest)


def test_an_operators_resource_that_cannot_be_read_may_be_one_of_a_pod() -> None:
    manifest = {**operated(), "spec": UNREADABLE}
    assert has_pods(manifest)
    with pytest.raises(UnreadableError, match=r"^spec is not known yet$"):
        list(containers(manifest))


@pytest.mark.parametrize(
    ("manifest", "found"),
    [
        ({"kind": "Pod", "metadata": {"annotations": {"a": "b"}}}, {"metadata.annotations": {"a": "b"}}),
        (
            {"kind": "Deployment", "spec": {"template": {"metadata": {"annotations": {"a": "b"}}}}},
            {"spec.template.metadata.annotations": {"a": "b"}},
        ),
        ({"kind": "Deployment", "metadata": {"annotations": {"a": "b"}}}, {}),
        (
            operated(containers=NONE, podMetadata={"annotations": {"a": "b"}}),
            {"spec.podMetadata.annotations": {"a": "b"}},
        ),
        (
            operated(parts=[{"metadata": {"annotations": {"a": "b"}}, "spec": {"containers": NONE}}]),
            {"spec.parts[0].metadata.annotations": {"a": "b"}},
        ),
    ],
)
def test_annotations_are_those_that_the_pod_gets(manifest: Manifest, found: dict[str, Manifest]) -> None:
    assert {path: given for path, given in annotations(manifest) if given} == found
