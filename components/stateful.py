"""The one way a workload with a disk is run: StatefulSet, Services, volume, budget, account."""

import pulumi
from pulumi_kubernetes import apps, core, meta

from components.connections import Endpoint
from components.labels import Identity
from components.pods import PodArgs, disruption_budget, pod_template, service_account
from components.settings import VolumeSettings


class Stateful(pulumi.ComponentResource):
    """One pod and the volume that outlives it, mounted at /data.

    Clients reach it through `service`; the headless Service of the same name with `-instances` gives each pod a name of
    its own. With `volume.keep` the StatefulSet is protected and its volume is kept when the set is deleted.
    """

    def __init__(
        self,
        identity: Identity,
        args: PodArgs,
        volume: VolumeSettings,
        *,
        service: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = identity.name
        super().__init__("platform:index:Stateful", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = service_account(identity, child)
        port = core.v1.ServicePortArgs(name=args.port_name, port=args.port, target_port=args.port_name)
        core.v1.Service(
            f"{name}-instances",
            metadata=identity.metadata(f"{name}-instances"),
            spec=core.v1.ServiceSpecArgs(
                cluster_ip="None", publish_not_ready_addresses=True, selector=identity.selector, ports=[port]
            ),
            opts=child,
        )
        core.v1.Service(
            name,
            metadata=identity.metadata(service),
            spec=core.v1.ServiceSpecArgs(type="ClusterIP", selector=identity.selector, ports=[port]),
            opts=child,
        )
        disruption_budget(identity, child)
        claim = core.v1.PersistentVolumeClaimArgs(
            metadata=meta.v1.ObjectMetaArgs(name="data", labels=identity.selector),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=volume.storage_class,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": volume.size}),
            ),
        )
        apps.v1.StatefulSet(
            name,
            metadata=identity.metadata(),
            spec=apps.v1.StatefulSetSpecArgs(
                replicas=1,
                # The literal name: the headless Service is not ready before these pods are, and both would wait.
                service_name=f"{name}-instances",
                selector=identity.label_selector,
                template=pod_template(identity, args, account, data="data"),
                volume_claim_templates=[claim],
                persistent_volume_claim_retention_policy=(
                    apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicyArgs(
                        when_deleted="Retain" if volume.keep else "Delete", when_scaled="Retain"
                    )
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=volume.keep),
        )
        self.endpoint = Endpoint(of=identity, port=args.port, service=service)
        self.register_outputs({"host": self.endpoint.host, "port": args.port})
