"""Which pods a Service sends to: by the labels of their template, and by those that they are given as they run."""

from typing import Any

import pytest

from policies.backends import behind
from policies.published import facing
from policies.reachability import Network
from policies.rule import Manifest, Unreadable, UnreadableError

POD_NAME = "statefulset.kubernetes.io/pod-name"


def made(kind: str, labels: Manifest, **spec: Any) -> Manifest:
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "it"}]}}
    return {"kind": kind, "metadata": {"namespace": "data", "name": "main"}, "spec": {**spec, "template": template}}


def service(selector: Any, namespace: str = "data") -> Manifest:
    metadata = {"namespace": namespace, "name": "s"}
    return {"kind": "Service", "metadata": metadata, "spec": {"type": "NodePort", "selector": selector}}


DATABASE = made("StatefulSet", {"app": "main", "tier": "data"}, replicas=2)
SERVER = made("Deployment", {"app": "main"})


@pytest.mark.parametrize(
    ("sender", "found"),
    [
        (service({"app": "main"}), [DATABASE, SERVER]),
        (service({"app": "main", "role": "primary"}), [DATABASE, SERVER]),
        (service({"role": "primary"}), [DATABASE, SERVER]),
        (service({"app": "main", "tier": "data"}), [DATABASE]),
        (service({"app": "main", "tier": "other"}), []),
        (service({"app": "other", "role": "primary"}), []),
        (service({POD_NAME: "main-1"}), [DATABASE]),
        (service({POD_NAME: "main-2"}), []),
        (service({"ap": "main"}), []),
        (service({}), []),
        (service(None), []),
        (service({"app": "main"}, "app"), []),
    ],
)
def test_a_service_sends_to_pods_that_have_or_get_its_labels(sender: Manifest, found: list[Manifest]) -> None:
    assert behind(sender, [DATABASE, SERVER]) == found
    assert [pod.manifest for pod in facing(Network.of([DATABASE, SERVER]), [sender])] == found


def test_a_label_that_cannot_be_read_is_told() -> None:
    hidden = Unreadable("spec.selector.app", "not known yet")
    with pytest.raises(UnreadableError, match=r"^spec.selector.app is not known yet$"):
        behind(service({"app": hidden}), [SERVER])
