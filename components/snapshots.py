"""Scheduled snapshots of the volumes that hold data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import pulumi
from pulumi_kubernetes import batch, core, meta, rbac

from components.connections import api_server_range, connect
from components.labels import ANNOTATIONS, Identity
from components.namespaces import Namespace
from components.pods import PodArgs, pod_template, service_account
from components.recovery import recovers
from components.settings import ApiServerSettings, SnapshotSettings, StorageSettings
from components.storage import SNAPSHOTS

_RUN_SECONDS = 3600
_READY_SECONDS = 1500
"""Two attempts fit into a run. A cloud that copies for longer goes on by itself, and its snapshot counts once it is ready."""


class Keeper(Protocol):
    """A tier that keeps data in volumes whose claims carry its selector's labels."""

    identity: Identity


class Snapshots(pulumi.ComponentResource):
    """For each tier a CronJob that takes a snapshot of each of its volumes, and keeps the last few that are ready.

    Each has an account of its own, which may do that in its namespace and nothing else. Without `snapshots` in the settings
    there are none.
    """

    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: StorageSettings,
        *,
        namespace: Namespace,
        api_server: ApiServerSettings,
        of: Sequence[Keeper],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Snapshots", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        self.connections = []
        for tier in of if args.snapshots else ():
            assert args.snapshots
            identity = replace(tier.identity, name=f"{tier.identity.name}-snapshots", tier="snapshots")
            connected = connect(identity, [api_server_range(api_server)], child)
            _schedule(identity, tier.identity.name, args.snapshots, child)
            self.connections = [*self.connections, *connected.rows]
        self.register_outputs({})


def _schedule(identity: Identity, workload: str, args: SnapshotSettings, opts: pulumi.ResourceOptions) -> None:
    account = service_account(identity, opts)
    _rights(identity, opts)
    values = {
        "WORKLOAD": workload,
        "SNAPSHOT_CLASS": SNAPSHOTS,
        "KEEP": str(args.keep),
        "SECONDS_TO_READY": str(_READY_SECONDS),
    }
    # The same for every attempt of a run, so that a second one makes no second snapshot.
    run = core.v1.ObjectFieldSelectorArgs(field_path="metadata.labels['batch.kubernetes.io/job-name']")
    pod = PodArgs(
        image=args.image,
        cpu="10m",
        memory="64Mi",
        health=None,
        env=[
            core.v1.EnvVarArgs(name="RUN", value_from=core.v1.EnvVarSourceArgs(field_ref=run)),
            *(core.v1.EnvVarArgs(name=key, value=value) for key, value in values.items()),
        ],
        token=True,
    )
    metadata = identity.metadata()
    metadata.annotations = {**ANNOTATIONS, **recovers(workload, "snapshot")}
    batch.v1.CronJob(
        identity.name,
        metadata=metadata,
        spec=batch.v1.CronJobSpecArgs(
            schedule=args.schedule,
            time_zone="Etc/UTC",
            concurrency_policy="Forbid",
            # Of the runs that were missed while the cluster was down, the last one is made up for, if it was within the hour.
            starting_deadline_seconds=_RUN_SECONDS,
            successful_jobs_history_limit=1,
            failed_jobs_history_limit=3,
            job_template=batch.v1.JobTemplateSpecArgs(
                metadata=meta.v1.ObjectMetaArgs(labels=identity.labels),
                spec=batch.v1.JobSpecArgs(
                    backoff_limit=3,
                    active_deadline_seconds=_RUN_SECONDS,
                    template=pod_template(identity, pod, account, restart_policy="Never"),
                ),
            ),
        ),
        opts=opts,
    )


def _rights(identity: Identity, opts: pulumi.ResourceOptions) -> None:
    role = rbac.v1.Role(
        identity.name,
        metadata=identity.metadata(),
        rules=[
            rbac.v1.PolicyRuleArgs(api_groups=[""], resources=["persistentvolumeclaims"], verbs=["list"]),
            rbac.v1.PolicyRuleArgs(
                api_groups=["snapshot.storage.k8s.io"],
                resources=["volumesnapshots"],
                verbs=["create", "list", "delete"],
            ),
        ],
        opts=opts,
    )
    rbac.v1.RoleBinding(
        identity.name,
        metadata=identity.metadata(),
        role_ref=rbac.v1.RoleRefArgs(
            api_group="rbac.authorization.k8s.io", kind="Role", name=role.metadata.name.apply(str)
        ),
        subjects=[rbac.v1.SubjectArgs(kind="ServiceAccount", name=identity.name, namespace=identity.namespace)],
        opts=opts,
    )
