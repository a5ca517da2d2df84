"""The one way a workload with a disk is run: StatefulSet, Services, volumes, budget, account."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import apps, core, meta

from components.labels import ANNOTATIONS, NOT_AWAITED, Identity
from components.pods import PodArgs, disruption_budget, pod_template, service_account
from components.storage import GENERAL
from components.tier_settings import VolumeSettings


class Stateful(pulumi.ComponentResource):
    """Pods with a volume each that outlives them, mounted at /data.

    The headless Service `NAME-instances` gives each pod a name of its own; what clients connect to is made with `service`.
    With `volume.keep` the StatefulSet is protected and its volumes are kept when the set is deleted. After `before` is
    there, all pods start at once: one that cannot start does not keep the others from it. A larger `volume.size` grows the
    volumes where they are, without a restart. `purpose` is the volumes' class, unless `volume` names another.
    `annotations` say what may be lost of them.
    """

    def __init__(
        self,
        identity: Identity,
        args: PodArgs,
        volume: VolumeSettings,
        *,
        purpose: str = GENERAL,
        instances: int = 1,
        annotations: Mapping[str, str] | None = None,
        before: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = identity.name
        super().__init__("platform:index:Stateful", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        account = service_account(identity, child)
        core.v1.Service(
            f"{name}-instances",
            metadata=identity.service_metadata(f"{name}-instances"),
            spec=core.v1.ServiceSpecArgs(
                cluster_ip="None",
                publish_not_ready_addresses=True,
                selector=identity.selector,
                ports=_ports(args.ports),
            ),
            opts=child,
        )
        disruption_budget(identity, child)
        claim = core.v1.PersistentVolumeClaimArgs(
            metadata=meta.v1.ObjectMetaArgs(name="data", labels=identity.selector),
            spec=core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=["ReadWriteOnce"],
                storage_class_name=volume.storage_class or purpose,
                resources=core.v1.VolumeResourceRequirementsArgs(requests={"storage": volume.size}),
            ),
        )
        metadata = identity.metadata()
        metadata.annotations = {**ANNOTATIONS, **(annotations or {})}
        pods = apps.v1.StatefulSet(
            name,
            metadata=metadata,
            spec=apps.v1.StatefulSetSpecArgs(
                replicas=instances,
                pod_management_policy="Parallel",
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
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=volume.keep,
                depends_on=list(before),
                # A set's claims cannot be changed; its volumes can grow, and do so below.
                ignore_changes=["spec.volumeClaimTemplates[0].spec.resources.requests.storage"],
            ),
        )
        for ordinal in range(instances):
            # Taking the size back would leave a claim without one, which the API server refuses.
            kept = pulumi.ResourceOptions(parent=self, depends_on=[pods], retain_on_delete=True)
            _size(identity, f"data-{name}-{ordinal}", volume.size, kept)
        self.register_outputs({})


def _size(identity: Identity, claim: str, size: str, opts: pulumi.ResourceOptions) -> None:
    """Let a volume grow to `size` while it is used; the API server refuses to shrink it, at preview."""
    # The size is the StatefulSet's controller's until it is ours. Nothing is awaited: the provider waits for a claim to change
    # until it is bound, and one that is does not change.
    annotations = ANNOTATIONS | NOT_AWAITED | {"pulumi.com/patchForce": "true"}
    core.v1.PersistentVolumeClaimPatch(
        claim,
        metadata=meta.v1.ObjectMetaPatchArgs(name=claim, namespace=identity.placement, annotations=annotations),
        spec=core.v1.PersistentVolumeClaimSpecPatchArgs(
            resources=core.v1.VolumeResourceRequirementsPatchArgs(requests={"storage": size})
        ),
        opts=opts,
    )


def service(
    name: str,
    identity: Identity,
    ports: Mapping[str, int],
    opts: pulumi.ResourceOptions,
    *,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Put a Service in front of a workload's pods, or those of them that have `labels` as well, and return its host name."""
    core.v1.Service(
        name,
        metadata=identity.service_metadata(name),
        spec=core.v1.ServiceSpecArgs(
            type="ClusterIP", selector=identity.selector | dict(labels or {}), ports=_ports(ports)
        ),
        opts=opts,
    )
    return identity.host(name)


def _ports(ports: Mapping[str, int]) -> list[core.v1.ServicePortArgs]:
    return [core.v1.ServicePortArgs(name=name, port=port, target_port=name) for name, port in ports.items()]
