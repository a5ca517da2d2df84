"""The same pod in every object that there is for one."""

from collections.abc import Iterator
from typing import Any

from tests.policies.fixtures import Manifest, replaced


def wrapped(deployment: Manifest) -> Iterator[tuple[Manifest, str]]:
    """Yield a Deployment's pod in every other wrapping there is, with the type the provider has for it."""
    metadata, template = deployment["metadata"], deployment["spec"]["template"]
    pod = template["spec"]
    for kind in ("StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Rollout"):
        yield {**deployment, "kind": kind}, ""
    of_pod = {**metadata, **template.get("metadata", {})}
    yield {"apiVersion": "v1", "kind": "Pod", "metadata": of_pod, "spec": pod}, ""
    yield {"apiVersion": "v1", "kind": "PodTemplate", "metadata": metadata, "template": template}, ""
    cron = {"jobTemplate": {"spec": {"template": template}}}
    yield {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": metadata, "spec": cron}, ""
    yield deployment, "kubernetes:apps/v1:DeploymentPatch"
    yield {**deployment, "kind": "DeploymentPatch"}, "kubernetes:apps/v1:DeploymentPatch"
    yield {key: value for key, value in deployment.items() if key != "kind"}, "kubernetes:apps/v1:Deployment"
    yield {"apiVersion": "v1", "kind": "List", "items": [deployment]}, ""
    bare = {"metadata": metadata, "spec": deployment["spec"]}
    yield {"apiVersion": "apps/v1", "kind": "DeploymentList", "items": [bare]}, ""
    parts = [{"metadata": of_pod, "podSpec": pod}]
    yield {"apiVersion": "a.example/v1", "kind": "Engine", "spec": {"parts": parts}}, ""
    yield {"apiVersion": "a.example/v1", "kind": "Engine", "spec": {**pod, "podMetadata": of_pod}}, ""
    for sort in ("initContainers", "ephemeralContainers"):
        other = {**pod, "containers": list[Any](), sort: [*pod.get(sort, []), *pod["containers"]]}
        yield replaced(deployment, ("spec", "template", "spec"), other), ""
