"""Who may talk to whom. One declared connection becomes egress, ingress, environment, secret and a table row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes import core, meta, networking

from components.certificates import TRUST, trusted
from components.labels import Identity
from components.settings import ApiServerSettings

PRIVATE_RANGES = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
"""IPv4 ranges that are not the Internet (RFC 6890): the cluster, its nodes, the clouds' metadata addresses, multicast.

168.63.129.16 is Azure's, and looks public: it gives a node's credentials to whatever on the node asks.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A place a workload can be reached, and what a client must know to reach it.

    `ports` has the one it is there for first. `env` is plain and `secrets` are not; their keys are `{SERVER}_{PROPERTY}`.
    `service` is the Service's name, where it differs from the workload's. `tls` says that the server has a certificate of
    the platform's, which clients verify. `ours` is false for a server this program does not deploy: then only the client's
    side is opened.
    """

    of: Identity
    ports: Sequence[int]
    service: str | None = None
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])
    tls: bool = False
    ours: bool = True

    @property
    def name(self) -> str:
        """The name clients know it by: two endpoints of one workload differ in it."""
        return self.service or self.of.name

    @property
    def port(self) -> int:
        """The one it is there for."""
        return self.ports[0]

    @property
    def host(self) -> str:
        """The server's full name in the cluster's DNS."""
        return self.of.host(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A named set of addresses outside the cluster, reachable on some TCP ports, and what a client must know to use it."""

    name: str
    cidrs: Sequence[str]
    ports: Sequence[int]
    excluded: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict[str, pulumi.Input[str]])


INTERNET = Range(name="internet", cidrs=("0.0.0.0/0",), ports=(80, 443), excluded=PRIVATE_RANGES)
"""The public web, and no private address."""


def api_server_range(settings: ApiServerSettings) -> Range:
    """Return the cluster's own API server, which no selector can express: it runs in no pod."""
    cidrs = [f"{address}/32" for address in settings.addresses]
    return Range(name="api-server", cidrs=cidrs, ports=[settings.port])


Peer = Endpoint | Range


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """What a client's declared connections amount to: environment, files by mount path, rows of the connection table."""

    env: Sequence[core.v1.EnvVarArgs]
    files: Mapping[str, core.v1.VolumeArgs]
    rows: Sequence[Mapping[str, str | int]]


def connect(client: Identity, peers: Sequence[Peer], opts: pulumi.ResourceOptions) -> Connections:
    """Open every connection on both sides of the default deny, and return what the client needs to use them.

    Raises ValueError if two peers define the same environment key.
    """
    plain: dict[str, str] = {}
    secret: dict[str, pulumi.Input[str]] = {}
    for peer in peers:
        for key in (*peer.env, *peer.secrets):
            if key in plain or key in secret:
                raise ValueError(f"{client.name}: two connections both define {key}")
        plain |= peer.env
        secret |= peer.secrets
    rows: list[Mapping[str, str | int]] = []
    for peer in peers:
        if isinstance(peer, Range):
            _egress(client, peer.name, _range_rule(peer), opts)
            rows += [_row(client, peer.name, port) for port in peer.ports]
            continue
        allow(client, peer, opts)
        found = [_row(client, f"{peer.of.namespace}/{peer.of.name}", port) for port in peer.ports]
        rows += [row for row in found if row not in rows]
    env = [core.v1.EnvVarArgs(name=key, value=value) for key, value in sorted(plain.items())]
    if secret:
        # A pod cannot read a Secret of another namespace, so the client's namespace gets one of its own.
        env += secret_env(client, f"{client.name}-connections", secret, opts)
    verifies = any(isinstance(peer, Endpoint) and peer.tls for peer in peers)
    return Connections(env=env, files={TRUST: trusted(client)} if verifies else {}, rows=rows)


def allow(client: Identity, endpoint: Endpoint, opts: pulumi.ResourceOptions) -> None:
    """Open the endpoint's ports, and no other, from client to server, on both sides of the default deny."""
    server = endpoint.of
    ports = [networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in endpoint.ports]
    egress = networking.v1.NetworkPolicyEgressRuleArgs(to=[_pods(server)], ports=ports)
    _egress(client, endpoint.name, egress, opts)
    if endpoint.ours:
        ingress = networking.v1.NetworkPolicyIngressRuleArgs(from_=[_pods(client)], ports=ports)
        _ingress(endpoint, client.name, ingress, opts)


def allow_from_outside(endpoint: Endpoint, opts: pulumi.ResourceOptions) -> Mapping[str, str | int]:
    """Open the port of a server to whatever reaches the cluster from outside, and return the row that says so."""
    ports = [networking.v1.NetworkPolicyPortArgs(port=endpoint.port, protocol="TCP")]
    anywhere = networking.v1.NetworkPolicyPeerArgs(ip_block=networking.v1.IPBlockArgs(cidr="0.0.0.0/0"))
    _ingress(endpoint, "outside", networking.v1.NetworkPolicyIngressRuleArgs(from_=[anywhere], ports=ports), opts)
    return {"client": "outside", "server": f"{endpoint.of.namespace}/{endpoint.of.name}", "port": endpoint.port}


def secret_env(
    client: Identity, name: str, values: Mapping[str, pulumi.Input[str]], opts: pulumi.ResourceOptions
) -> list[core.v1.EnvVarArgs]:
    """Return environment variables read from a Secret made of `values` in the client's namespace."""
    secret = core.v1.Secret(name, metadata=client.unnamed_metadata(), string_data=values, immutable=True, opts=opts)
    return [
        core.v1.EnvVarArgs(
            name=key,
            value_from=core.v1.EnvVarSourceArgs(
                secret_key_ref=core.v1.SecretKeySelectorArgs(name=secret.metadata.name, key=key)
            ),
        )
        for key in sorted(values)
    ]


def _row(client: Identity, server: str, port: int) -> Mapping[str, str | int]:
    return {"client": f"{client.namespace}/{client.name}", "server": server, "port": port}


def _pods(who: Identity) -> networking.v1.NetworkPolicyPeerArgs:
    """Return the peer that is exactly this workload: a pod selector alone would match any namespace's look-alike."""
    return networking.v1.NetworkPolicyPeerArgs(
        namespace_selector=meta.v1.LabelSelectorArgs(match_labels={"kubernetes.io/metadata.name": who.namespace}),
        pod_selector=who.label_selector,
    )


def _range_rule(peer: Range) -> networking.v1.NetworkPolicyEgressRuleArgs:
    blocks = [networking.v1.IPBlockArgs(cidr=cidr, except_=list(peer.excluded) or None) for cidr in peer.cidrs]
    return networking.v1.NetworkPolicyEgressRuleArgs(
        to=[networking.v1.NetworkPolicyPeerArgs(ip_block=block) for block in blocks],
        ports=[networking.v1.NetworkPolicyPortArgs(port=port, protocol="TCP") for port in peer.ports],
    )


def _egress(
    client: Identity, server: str, rule: networking.v1.NetworkPolicyEgressRuleArgs, opts: pulumi.ResourceOptions
) -> None:
    name = f"{client.name}-to-{server}"
    networking.v1.NetworkPolicy(
        name,
        metadata=client.metadata(name),
        spec=networking.v1.NetworkPolicySpecArgs(pod_selector=client.connected, policy_types=["Egress"], egress=[rule]),
        opts=opts,
    )


def _ingress(
    endpoint: Endpoint, client: str, rule: networking.v1.NetworkPolicyIngressRuleArgs, opts: pulumi.ResourceOptions
) -> None:
    name = f"{endpoint.name}-from-{client}"
    server = endpoint.of
    networking.v1.NetworkPolicy(
        name,
        metadata=server.metadata(name),
        spec=networking.v1.NetworkPolicySpecArgs(
            pod_selector=server.connected, policy_types=["Ingress"], ingress=[rule]
        ),
        opts=opts,
    )
