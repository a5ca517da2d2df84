"""What keeps the buckets in order, with the key of the store's owner."""

import pulumi

from components.connections import Peer
from components.jobs import Task
from components.labels import Identity
from components.pods import PodArgs


def task(identity: Identity, image: str, owner: Peer, document: pulumi.Input[str]) -> Task:
    """Return what brings buckets and accounts to what the document says, again whenever it changes."""
    pod = PodArgs(image=image, cpu="50m", memory="128Mi", health=None)
    return Task(identity=identity, pod=pod, talks_to=[owner], secrets={"OBJECTS_BUCKETS": document})
