"""Certificates for servers of the platform, from an authority of its own."""

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_kubernetes import rbac

from components.certificates import GROUP, ready
from components.connections import api_server_range
from components.defaults import http_health
from components.labels import Identity
from components.namespaces import Namespace
from components.pods import PodArgs
from components.settings import ApiServerSettings
from components.tier_settings import CertManagerSettings
from components.workload import Workload

_METRICS, _HEALTH = 9402, 9403
_USER = 65532
_LEASE = "cert-manager-controller"
_ROOT, _ISSUER = "platform-root", "platform"

# What an authority of our own takes. The others speak to ACME servers, to Vault and to clouds, or make certificates of what an
# Ingress says.
_CONTROLLERS = (
    "issuers",
    "clusterissuers",
    "certificates-trigger",
    "certificates-key-manager",
    "certificates-request-manager",
    "certificates-issuing",
    "certificates-readiness",
    "certificates-revision-manager",
    "certificaterequests-approver",
    "certificaterequests-issuer-ca",
    "certificaterequests-issuer-selfsigned",
)


class CertManager(pulumi.ComponentResource):
    """Issues certificates, and renews them before they expire, in every namespace.

    They come from the platform's own authority, whose key is made in the cluster and never leaves the component's namespace.
    `issuer` is the ClusterIssuer to name in a Certificate; it is known when it can issue.
    """

    issuer: pulumi.Output[str]
    connections: Sequence[Mapping[str, str | int]]

    def __init__(
        self,
        name: str,
        args: CertManagerSettings,
        *,
        namespace: Namespace,
        api_server: ApiServerSettings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("platform:index:CertManager", name, None, opts or namespace.within)
        child = pulumi.ResourceOptions(parent=self)
        identity = namespace.identity(name, "security")
        pod = PodArgs(
            image=args.image,
            ports={"metrics": _METRICS, "health": _HEALTH},
            cpu=args.cpu,
            memory=args.memory,
            user=_USER,
            args=[
                f"--cluster-resource-namespace={namespace.name}",
                # During a rollout there are two of them, and one may act.
                f"--leader-election-namespace={namespace.name}",
                f"--controllers={','.join(_CONTROLLERS)}",
            ],
            health=http_health(_HEALTH, alive="/livez", ready="/livez"),
            token=True,
        )
        controller = Workload(
            identity,
            pod,
            args.scale,
            talks_to=[api_server_range(api_server)],
            after=_rights(identity, child),
            opts=child,
        )
        self.issuer = _authority(identity, pulumi.ResourceOptions(parent=self, depends_on=[controller]))
        self.connections = controller.connections
        self.register_outputs({"issuer": self.issuer})


def _authority(identity: Identity, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
    """Make an authority that signs itself, and return the name of the issuer that it stands behind, once that is ready.

    Each of the three is awaited, and removed before the controller that would have to finish its work on it.
    """
    maker = ready("ClusterIssuer", _ROOT, identity.cluster_metadata(_ROOT), {"selfSigned": {}}, opts)
    certificate = {
        "isCA": True,
        "commonName": _ROOT,
        "secretName": _ROOT,
        "duration": "87600h",  # ten years
        "usages": ["cert sign", "crl sign"],
        # The same key when it is renewed: who trusts the authority goes on trusting what it signs.
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Never"},
        "issuerRef": {"group": GROUP, "kind": "ClusterIssuer", "name": _ROOT},
    }
    root = ready("Certificate", _ROOT, identity.metadata(_ROOT), certificate, _after(maker, opts))
    signs = {"ca": {"secretName": _ROOT}}
    issuer = ready("ClusterIssuer", _ISSUER, identity.cluster_metadata(_ISSUER), signs, _after(root, opts))
    # Not the bare name: whoever uses it then comes after the issuer, and is removed before it.
    return issuer.urn.apply(lambda _urn: _ISSUER)


def _after(resource: pulumi.Resource, opts: pulumi.ResourceOptions) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=[resource]))


def _rule(
    group: str, resources: Sequence[str], verbs: str, names: Sequence[str] | None = None
) -> rbac.v1.PolicyRuleArgs:
    return rbac.v1.PolicyRuleArgs(
        api_groups=[group],
        resources=list(resources),
        verbs=verbs.split(),
        resource_names=list(names) if names else None,
    )


_KINDS = ("certificates", "certificaterequests", "issuers", "clusterissuers")


def _cluster_rules() -> list[rbac.v1.PolicyRuleArgs]:
    """Return what the controllers do in all namespaces, and no more."""
    return [
        _rule(GROUP, _KINDS, "get list watch"),
        _rule(GROUP, [f"{kind}/status" for kind in _KINDS], "update"),
        _rule(GROUP, ["certificaterequests"], "create update delete"),
        # Where the API server asks who may make an object the owner of another (OwnerReferencesPermissionEnforcement).
        _rule(GROUP, ["certificates/finalizers", "certificaterequests/finalizers"], "update"),
        # In all namespaces, for a certificate's Secret is where its Certificate is, and a new one cannot be granted by its name.
        _rule("", ["secrets"], "get list watch create patch delete"),
        _rule("", ["events"], "create patch"),
        # Upstream's controller counts them, whatever --controllers says.
        _rule("acme.cert-manager.io", ["challenges"], "list watch"),
    ]


def _rights(identity: Identity, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
    """Create the account's rights, cluster-wide and at its lease; return what must be there before the controller starts."""
    subjects = [rbac.v1.SubjectArgs(kind="ServiceAccount", name=identity.name, namespace=identity.namespace)]
    name = f"platform-{identity.name}"
    everywhere = rbac.v1.ClusterRole(name, metadata=identity.cluster_metadata(name), rules=_cluster_rules(), opts=opts)
    lease = rbac.v1.Role(
        identity.name,
        metadata=identity.metadata(),
        rules=[
            _rule("coordination.k8s.io", ["leases"], "create"),
            _rule("coordination.k8s.io", ["leases"], "get update", [_LEASE]),
        ],
        opts=opts,
    )

    def role(of: rbac.v1.Role | rbac.v1.ClusterRole, kind: str) -> rbac.v1.RoleRefArgs:
        return rbac.v1.RoleRefArgs(api_group="rbac.authorization.k8s.io", kind=kind, name=of.metadata.name.apply(str))

    return [
        rbac.v1.ClusterRoleBinding(
            name,
            metadata=identity.cluster_metadata(name),
            role_ref=role(everywhere, "ClusterRole"),
            subjects=subjects,
            opts=opts,
        ),
        rbac.v1.RoleBinding(
            identity.name, metadata=identity.metadata(), role_ref=role(lease, "Role"), subjects=subjects, opts=opts
        ),
    ]
