"""Namespaces: the fences every workload stands behind."""

from collections.abc import Sequence

import pulumi
from pulumi_kubernetes import core, meta, networking

from components.certificates import trust
from components.labels import ANNOTATIONS, NOT_IN_QUARANTINE, Identity
from components.settings import QuotaSettings


class Namespace(pulumi.ComponentResource):
    """A namespace in which nothing privileged runs, nothing talks unless allowed, and nothing grows without bound.

    Pod Security *restricted* is enforced; traffic is denied both ways but for DNS; pods share a quota, and containers
    that name no resources get small ones. With an `issuer`, servers in it get certificates, and clients can verify them.
    `after` is what must be there before it, and go after it.
    """

    name: str

    def __init__(
        self,
        name: str,
        quota: QuotaSettings,
        *,
        issuer: pulumi.Input[str] | None = None,
        after: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:Namespace", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.name = name
        labels = {"app.kubernetes.io/part-of": "platform", "app.kubernetes.io/managed-by": "pulumi"}
        modes = ("enforce", "audit", "warn")
        namespace = core.v1.Namespace(
            name,
            metadata=meta.v1.ObjectMetaArgs(
                name=name,
                annotations=ANNOTATIONS,
                labels=labels | {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes},
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(after)),
        )
        placement = namespace.metadata.name.apply(str)

        def metadata(name: str) -> meta.v1.ObjectMetaArgs:
            return meta.v1.ObjectMetaArgs(name=name, namespace=placement, labels=labels, annotations=ANNOTATIONS)

        core.v1.ResourceQuota(
            f"{name}-quota",
            metadata=metadata("quota"),
            spec=core.v1.ResourceQuotaSpecArgs(
                hard={"requests.cpu": quota.cpu, "requests.memory": quota.memory, "pods": str(quota.pods)}
            ),
            opts=child,
        )
        core.v1.LimitRange(
            f"{name}-limits",
            metadata=metadata("limits"),
            spec=core.v1.LimitRangeSpecArgs(
                limits=[
                    core.v1.LimitRangeItemArgs(
                        type="Container",
                        default_request={"cpu": "10m", "memory": "32Mi"},
                        default={"memory": "128Mi"},
                    )
                ]
            ),
            opts=child,
        )
        denied = networking.v1.NetworkPolicy(
            f"{name}-default-deny",
            metadata=metadata("default-deny"),
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=meta.v1.LabelSelectorArgs(), policy_types=["Ingress", "Egress"]
            ),
            opts=child,
        )
        # As the policy reports it: no pod starts here before nothing is allowed, nor is left when everything is again.
        self._placement = denied.metadata.namespace.apply(str)
        networking.v1.NetworkPolicy(
            f"{name}-allow-dns",
            metadata=metadata("allow-dns"),
            spec=networking.v1.NetworkPolicySpecArgs(
                pod_selector=meta.v1.LabelSelectorArgs(match_expressions=[NOT_IN_QUARANTINE]),
                policy_types=["Egress"],
                egress=[
                    networking.v1.NetworkPolicyEgressRuleArgs(
                        to=[
                            networking.v1.NetworkPolicyPeerArgs(
                                namespace_selector=meta.v1.LabelSelectorArgs(
                                    match_labels={"kubernetes.io/metadata.name": "kube-system"}
                                ),
                                pod_selector=meta.v1.LabelSelectorArgs(match_labels={"k8s-app": "kube-dns"}),
                            )
                        ],
                        ports=[
                            networking.v1.NetworkPolicyPortArgs(port=53, protocol=protocol)
                            for protocol in ("UDP", "TCP")
                        ],
                    )
                ],
            ),
            opts=child,
        )
        self._issuer = "" if issuer is None else issuer
        self._trust = trust(name, metadata("trust"), issuer, child) if issuer is not None else ""
        self.register_outputs({"name": name})

    @property
    def within(self) -> pulumi.ResourceOptions:
        """The options of a tier that lives here: drawn inside, and on the same cluster."""
        return pulumi.ResourceOptions(parent=self)

    def identity(self, name: str, tier: str) -> Identity:
        """Return the identity of a workload that lives here."""
        return Identity(
            name=name,
            namespace=self.name,
            tier=tier,
            placement=self._placement,
            issuer=self._issuer,
            trust=self._trust,
        )
