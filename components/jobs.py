"""The one way something is done once for each version, or again and again at its time: Jobs and CronJobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pulumi
from pulumi_kubernetes import batch

from components.connections import Peer, connect, secret_env
from components.labels import ANNOTATIONS, Identity
from components.pods import PodArgs, pod_template, service_account


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A command that is run once for each version of what it is told, with its connections and its secrets."""

    identity: Identity
    pod: PodArgs
    talks_to: Sequence[Peer]
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    retries: int = 6

    def run(self, parent: pulumi.Resource, after: Sequence[pulumi.Resource]) -> Sequence[Mapping[str, str | int]]:
        """Run it, once these are complete, and return the rows of its connections."""
        child = pulumi.ResourceOptions(parent=parent)
        connected = connect(self.identity, self.talks_to, child)
        secrets = secret_env(self.identity, self.identity.name, self.secrets, child) if self.secrets else []
        pod = replace(self.pod, env=[*connected.env, *secrets], files=connected.files)
        job(parent, self.identity, pod, after, retries=self.retries)
        return connected.rows


def job(
    parent: pulumi.Resource, identity: Identity, args: PodArgs, after: Sequence[pulumi.Resource], *, retries: int = 6
) -> batch.v1.Job:
    """Run a pod until it succeeds, trying anew some times, each after a longer pause, and for at most ten minutes in all.

    A Job cannot be changed, so Pulumi names it and a changed one is a new one. One that has failed is a new one too: the
    engine would go on waiting for the old, and no `up` would ever succeed again.
    """
    account = service_account(identity, pulumi.ResourceOptions(parent=parent))
    metadata = identity.unnamed_metadata()
    metadata.annotations = ANNOTATIONS | {"pulumi.com/replaceUnready": "true"}
    return batch.v1.Job(
        identity.name,
        metadata=metadata,
        spec=batch.v1.JobSpecArgs(
            backoff_limit=retries,
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
    schedule: str | None,
    hours: int,
    annotations: Mapping[str, str] | None = None,
    opts: pulumi.ResourceOptions,
) -> None:
    """Run a pod at its time (UTC), for at most some hours, unless the one before still runs.

    Without a schedule it runs only when a person makes a Job of it. A run that fails is tried once more, and then seen: the last
    failed one is kept for a week, with its log.
    """
    metadata = identity.metadata(name)
    metadata.annotations = {**ANNOTATIONS, **(annotations or {})}
    batch.v1.CronJob(
        name,
        metadata=metadata,
        spec=batch.v1.CronJobSpecArgs(
            schedule=schedule or "0 0 1 1 *",
            suspend=None if schedule else True,
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
