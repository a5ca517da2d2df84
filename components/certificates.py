"""Who a server is, proven: a certificate for each, and in each namespace what to verify it against."""

from collections.abc import Sequence
from typing import Any

import pulumi
from pulumi_kubernetes import apiextensions, core, meta

from components.labels import ANNOTATIONS, Identity

GROUP = "cert-manager.io"
"""The API group of cert-manager's objects."""

TLS = "/etc/tls"
"""Where a server finds `tls.crt`, `tls.key` and `ca.crt`. All three are replaced, in place, when they are renewed."""

TRUST = "/etc/trust"
"""Where a client finds `ca.crt`, the authority that every server of the platform is verified against."""

CA_FILE = f"{TRUST}/ca.crt"

# A leaf lives for 90 days and is renewed after 60, so that a renewal may fail for a month before anybody notices.
_LIFETIME, _RENEWED_BEFORE = "2160h", "720h"


def certificate(
    identity: Identity,
    hosts: Sequence[str],
    opts: pulumi.ResourceOptions,
    *,
    usage: str = "server auth",
) -> core.v1.VolumeArgs:
    """Have a certificate for these host names issued and renewed, and return the volume to mount at `TLS` once it is there.

    `usage` is "server auth", or "client auth" for a client that proves who it is.
    """
    name = f"{identity.name}-tls"
    leaf = _leaf(name, hosts, usage, identity.issuer)
    if usage == "client auth":
        leaf["commonName"] = identity.name  # by which pgBackRest's server knows a client
    secret = _issued(name, identity.metadata(name), leaf, opts)
    return core.v1.VolumeArgs(name="tls", secret=core.v1.SecretVolumeSourceArgs(secret_name=secret, default_mode=0o440))


def on_renewal(command: str, *, tls: str = TLS, seconds: int = 30) -> str:
    """Return the shell's lines that run a command whenever the certificate was renewed, beside what the shell then becomes.

    In the command, `$server` is the number of that process. A command that fails is tried again. The watching ends with the
    server, whose number may be another process's later. Images of our own have `images/watch-certificate.sh` for this.
    """
    # The shell's own number comes from /proc: Kubernetes makes one dollar sign of two in a command.
    return f"""\
read -r server rest </proc/self/stat
watch() {{
    read_as=$(cksum <{tls}/tls.crt)
    while sleep {seconds} && kill -0 "$server" 2>/dev/null; do
        found=$(cksum <{tls}/tls.crt) || continue
        [ "$found" = "$read_as" ] || {{ {command} && read_as=$found; }}
    done
}}
watch &
"""


def trust(
    namespace: str, metadata: meta.v1.ObjectMetaArgs, issuer: pulumi.Input[str], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Return the name of the Secret whose `ca.crt` the clients in a namespace verify servers against.

    cert-manager writes the authority beside each certificate that it issues; this one is issued for nothing else.
    """
    leaf = _leaf("trust", [f"trust.{namespace}.svc.cluster.local"], "client auth", issuer)
    return _issued(f"{namespace}-trust", metadata, leaf, opts)


def trusted(client: Identity) -> core.v1.VolumeArgs:
    """Return the volume to mount at `TRUST`: the authority alone, not the key of the certificate beside it."""
    items = [core.v1.KeyToPathArgs(key="ca.crt", path="ca.crt")]
    secret = core.v1.SecretVolumeSourceArgs(secret_name=client.trust, default_mode=0o444, items=items)
    return core.v1.VolumeArgs(name="trust", secret=secret)


def _leaf(secret: str, hosts: Sequence[str], usage: str, issuer: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "secretName": secret,
        "secretTemplate": {"labels": {"app.kubernetes.io/part-of": "platform"}},
        "dnsNames": list(hosts),
        "duration": _LIFETIME,
        "renewBefore": _RENEWED_BEFORE,
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "usages": ["digital signature", usage],
        "issuerRef": {"group": GROUP, "kind": "ClusterIssuer", "name": issuer},
    }


def _issued(
    name: str, metadata: meta.v1.ObjectMetaArgs, leaf: dict[str, Any], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Create the Certificate and return the name of its Secret, once it is issued."""
    secret: str = leaf["secretName"]
    # What mounts the Secret must not start before it is there: the kubelet tries again ever more rarely.
    return ready("Certificate", name, metadata, leaf, opts).urn.apply(lambda _issued: secret)


def ready(
    kind: str, name: str, metadata: meta.v1.ObjectMetaArgs, spec: dict[str, Any], opts: pulumi.ResourceOptions
) -> apiextensions.CustomResource:
    """Create an object of cert-manager's, and wait until it says that it is ready."""
    metadata.annotations = ANNOTATIONS | {"pulumi.com/waitFor": "condition=Ready"}
    return apiextensions.CustomResource(
        name, api_version=f"{GROUP}/v1", kind=kind, metadata=metadata, spec=spec, opts=opts
    )
