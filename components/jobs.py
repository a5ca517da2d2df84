"""The one way something is done once for each version: a Job that has succeeded before what needs it starts."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import batch

from components.labels import Identity
from components.pods import PodArgs, pod_template, service_account


def job(parent: pulumi.Resource, identity: Identity, args: PodArgs, after: Sequence[pulumi.Resource]) -> batch.v1.Job:
    """Run a pod until it succeeds, trying anew up to six times and for at most ten minutes in all.

    A Job cannot be changed, so Pulumi names it and a changed one is a new one.
    """
    account = service_account(identity, pulumi.ResourceOptions(parent=parent))
    return batch.v1.Job(
        identity.name,
        metadata=identity.unnamed_metadata(),
        spec=batch.v1.JobSpecArgs(
            backoff_limit=6,
            active_deadline_seconds=600,
            template=pod_template(identity, args, account, restart_policy="Never"),
        ),
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(after)),
    )
