"""What the database's servers are told of a restore, and how far it has come: the ConfigMap that both are in."""

import json
from dataclasses import asdict, dataclass

from local.database import NAME, Cluster

STOPPING = "stopping"
"""The servers stop; nothing else has changed."""

STOPPED = "stopped"
"""None runs; whichever starts puts its data aside."""

RESTORING = "restoring"
"""They know of no leader any more, and start with nothing."""

SERVING = "serving"
"""One takes writes, which are nowhere else; what there was before is still aside."""


@dataclass(frozen=True)
class Request:
    """The restore of this `number`, `to` what was asked for. `step` is how far it has come, and empty when it is complete."""

    number: int = 0
    target: str = ""
    instances: int = 0
    step: str = ""
    to: str = ""


def asked(cluster: Cluster) -> Request:
    """Return what was asked for last; a restore by a person's own hand has no step, nor what was not written."""
    data: dict[str, str] = cluster.get("configmap", f"{NAME}-restore").get("data") or {}
    return Request(
        number=int(data.get("number") or 0),
        target=data.get("target", ""),
        instances=int(data.get("instances") or 0),
        step=data.get("step", ""),
        to=data.get("to", ""),
    )


def ask(cluster: Cluster, request: Request) -> None:
    """Tell the servers that start from now on, and whoever goes on with it."""
    text = json.dumps({"data": {key: str(value) for key, value in asdict(request).items()}})
    if not cluster.get("configmap", f"{NAME}-restore"):
        cluster.run("create", "configmap", f"{NAME}-restore")
    cluster.run("patch", "configmap", f"{NAME}-restore", "--type=merge", f"--patch={text}")
