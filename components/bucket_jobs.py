"""What keeps the buckets in order, with the key of the store's owner: Jobs that apply the table of buckets, and a sweep each night."""

import json
from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import core

from components import buckets
from components.connections import Peer, connect
from components.jobs import Task, cron_job
from components.labels import Identity
from components.pods import PodArgs, service_account

_NIGHTLY = "30 2 * * *"  # after the backups, which remove what they no longer keep
_HOURS = 12


def task(identity: Identity, image: str, owner: Peer, document: pulumi.Input[str]) -> Task:
    """Return what brings buckets and accounts to what the document says, again whenever it changes."""
    return Task(identity=identity, pod=_pod(image), talks_to=[owner], secrets={"OBJECTS_BUCKETS": document})


def sweep(
    identity: Identity, image: str, owner: Peer, days: int, opts: pulumi.ResourceOptions
) -> Sequence[Mapping[str, str | int]]:
    """Remove for good, each night, what was removed or written over that many days ago, and return the connections it takes."""
    connected = connect(identity, [owner], opts)
    expiry = core.v1.EnvVarArgs(name="OBJECTS_EXPIRY", value=json.dumps(buckets.expiry(days)))
    pod = _pod(image, ["python", "/opt/buckets/sweep_versions.py"], [*connected.env, expiry], connected.files)
    cron_job(identity.name, identity, pod, service_account(identity, opts), schedule=_NIGHTLY, hours=_HOURS, opts=opts)
    return connected.rows


def _pod(
    image: str,
    args: Sequence[str] = (),
    env: Sequence[core.v1.EnvVarArgs] = (),
    files: Mapping[str, core.v1.VolumeArgs] | None = None,
) -> PodArgs:
    return PodArgs(image=image, cpu="50m", memory="128Mi", args=args, env=env, files=files or {}, health=None)
