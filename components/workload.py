"""The one way a stateless workload is run: Deployment, Service, autoscaler, budget, account, network."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
from pulumi_kubernetes import apps, autoscaling, core

from components.connections import Endpoint, Peer, connect
from components.labels import Identity
from components.pods import PodArgs, disruption_budget, pod_template, service_account
from components.tier_settings import Scale


class Workload(pulumi.ComponentResource):
    """Pods that can be killed at any time and replaced by others, behind one Service.

    A rollout never takes a serving pod away before its successor serves; a drain takes one pod at a time. `after`
    names what must be complete before a new version starts.
    """

    endpoint: Endpoint
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        identity: Identity,
        args: PodArgs,
        scale: Scale,
        *,
        talks_to: Sequence[Peer] = (),
        node_port: int | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = identity.name
        super().__init__("platform:index:Workload", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        connected = connect(identity, talks_to, child)
        pod = replace(args, env=[*args.env, *connected.env], files={**args.files, **connected.files})
        account = service_account(identity, child)
        autoscaled = scale.min != scale.max
        deployment = apps.v1.Deployment(
            name,
            metadata=identity.metadata(),
            spec=apps.v1.DeploymentSpecArgs(
                # An autoscaler owns the number of pods; naming it here too would reset it at each update.
                replicas=None if autoscaled else scale.min,
                selector=identity.label_selector,
                strategy=apps.v1.DeploymentStrategyArgs(
                    type="RollingUpdate",
                    rolling_update=apps.v1.RollingUpdateDeploymentArgs(max_unavailable=0, max_surge=1),
                ),
                revision_history_limit=5,
                template=pod_template(identity, pod, account),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        core.v1.Service(
            name,
            metadata=identity.service_metadata(),
            spec=core.v1.ServiceSpecArgs(
                type="NodePort" if node_port else "ClusterIP",
                selector=identity.selector,
                ports=[
                    core.v1.ServicePortArgs(name=port_name, port=port, target_port=port_name, node_port=node_port)
                    for port_name, port in args.ports.items()
                ],
            ),
            opts=child,
        )
        disruption_budget(identity, child)
        if autoscaled:
            autoscaling.v2.HorizontalPodAutoscaler(
                name,
                metadata=identity.metadata(),
                spec=_autoscaler(deployment, scale),
                opts=child,
            )
        self.endpoint = Endpoint(of=identity, ports=[args.port])
        self.connections = connected.rows
        self.register_outputs({"host": self.endpoint.host, "port": args.port})


def _autoscaler(deployment: apps.v1.Deployment, scale: Scale) -> autoscaling.v2.HorizontalPodAutoscalerSpecArgs:
    cpu = autoscaling.v2.MetricSpecArgs(
        type="Resource",
        resource=autoscaling.v2.ResourceMetricSourceArgs(
            name="cpu",
            target=autoscaling.v2.MetricTargetArgs(type="Utilization", average_utilization=scale.cpu_percent),
        ),
    )
    return autoscaling.v2.HorizontalPodAutoscalerSpecArgs(
        scale_target_ref=autoscaling.v2.CrossVersionObjectReferenceArgs(
            api_version="apps/v1", kind="Deployment", name=deployment.metadata.name.apply(str)
        ),
        min_replicas=scale.min,
        max_replicas=scale.max,
        metrics=[cpu],
    )
