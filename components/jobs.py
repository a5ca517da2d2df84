"""The one way something is done once for each version, or again and again at its time: Jobs and CronJobs."""

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


def cron_job(
    name: str,
    identity: Identity,
    args: PodArgs,
    account: pulumi.Input[str],
    *,
    schedule: str,
    hours: int,
    opts: pulumi.ResourceOptions,
) -> None:
    """Run a pod at its time (UTC), for at most some hours, unless the one before still runs.

    A run that fails is tried once more, and then seen: the last failed one is kept for a week, with its log.
    """
    batch.v1.CronJob(
        name,
        metadata=identity.metadata(name),
        spec=batch.v1.CronJobSpecArgs(
            schedule=schedule,
            time_zone="Etc/UTC",
            concurrency_policy="Forbid",
            # A cluster that was away at the time makes up for it when it is back within the hour.
            starting_deadline_seconds=3600,
            successful_jobs_history_limit=1,
            failed_jobs_history_limit=1,
            job_template=batch.v1.JobTemplateSpecArgs(
                spec=batch.v1.JobSpecArgs(
                    backoff_limit=1,
                    active_deadline_seconds=hours * 3600,
                    ttl_seconds_after_finished=7 * 24 * 3600,
                    template=pod_template(identity, args, account, restart_policy="Never"),
                )
            ),
        ),
        opts=opts,
    )
