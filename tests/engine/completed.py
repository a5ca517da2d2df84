"""The objects of the policies' fixtures, with what an API server asks for and no rule does."""

import copy

from policies.admission import OURS
from policies.containers import pods
from policies.powers import RBAC
from tests.policies.fixtures import Manifest, compliant


def complete(manifest: Manifest, namespace: str = "app") -> Manifest:
    """Return an object as an API server takes it, one of the platform's, in a namespace if its kind is in any."""
    made = copy.deepcopy(manifest)
    made["metadata"]["labels"] = made["metadata"].get("labels", {}) | OURS
    if not made["kind"].startswith("Cluster"):
        made["metadata"]["namespace"] = namespace
    if made["kind"].endswith("Binding"):
        made["roleRef"].setdefault("apiGroup", RBAC)
        made["subjects"] = [_subject(each, namespace) for each in made["subjects"]]
    for path, pod in pods(made):
        _complete_pod(pod)
        if made["kind"] in ("Job", "CronJob"):
            pod["restartPolicy"] = "Never"
        if path == "spec.template.spec" and made["kind"] != "Job":
            made["spec"]["template"].setdefault("metadata", {})["labels"] = {"app": "it"}
            bare = made["kind"] == "ReplicationController"
            made["spec"]["selector"] = {"app": "it"} if bare else {"matchLabels": {"app": "it"}}
    made["apiVersion"] = {"Job": "batch/v1", "ReplicationController": "v1"}.get(made["kind"], made["apiVersion"])
    if made["kind"] == "StatefulSet":
        made["spec"]["serviceName"] = "it"
    if made["kind"] == "CronJob":
        made["spec"]["schedule"] = "0 0 * * *"
    return made


def _subject(subject: Manifest, namespace: str) -> Manifest:
    if subject["kind"] == "ServiceAccount":
        return {"namespace": namespace, **subject}
    return {"apiGroup": RBAC, **subject}


def _complete_pod(pod: Manifest) -> None:
    pod["containers"] = pod.get("containers") or compliant()[0]["spec"]["template"]["spec"]["containers"]
    for sort in ("initContainers", "containers", "ephemeralContainers"):
        for number, container in enumerate(pod.get(sort) or []):
            container["name"] = f"{sort.lower()}-{number}"
            container.setdefault("image", "registry.example/program:1.0")
            if sort == "initContainers" and container.get("restartPolicy") != "Always":
                for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                    container.pop(probe, None)
            _complete_probes(container)


def _complete_probes(container: Manifest) -> None:
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if "httpGet" in container.get(probe, {}):
            container[probe]["httpGet"].setdefault("port", 8080)
