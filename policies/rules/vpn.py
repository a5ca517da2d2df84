"""The VPN gateway: what administrators use is behind it, and it is sound itself."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any, cast

import yaml

from policies.backends import behind, pod_metadata
from policies.containers import containers, pods
from policies.edge import EXPOSURE, Edge, Route, backends, entry, exposure, is_route, once
from policies.exemptions import today
from policies.rule import Manifest, Rule, StackRule, at, identity
from policies.rules.exposure import COMPONENT, is_balancer

PEERS = "peers.yaml"
"""The key, of a ConfigMap of the VPN's, that lists its peers: `name`, `owner` and `expires` of each."""

_ADMIN = [
    "grafana",
    "prometheus",
    "alertmanager",
    "pushgateway",
    "kibana",
    "elasticsearch",
    "argocd",
    "argo-cd",
    "keycloak-admin",
    "pgadmin",
    "adminer",
    "vault",
    "openbao",
    "kubernetes-dashboard",
    "dashboard",
    "headlamp",
    "jaeger",
    "hubble-ui",
    "redis-commander",
    "falcosidekick-ui",
    "phpmyadmin",
    "rabbitmq-management",
]
_WEAK = re.compile(
    r"\b(?:3?des|null|md5|sha1|modp(?:768|1024|1536)|blowfish|rc4|ikev1)\b|aes(?:128|192|256)(?!gcm|ccm)", re.IGNORECASE
)
_KEYS = re.compile(r"^\s*(?:PrivateKey|PresharedKey)\s*=", re.MULTILINE)
_OLD_PROGRAMS = re.compile(r"(?:^|[/-])(?:pptpd?|xl2tpd|l2tp|openvpn-as)(?:[-:@]|$)")


def is_admin(manifest: Manifest) -> bool:
    """Return whether an object is what administrators use: its label `exposure` is `admin`, or its name is a tool's."""
    name = re.sub(r"(?:-(?:server|ui|web|http|service|svc|[0-9]+))+$", "", str(identity(manifest)[1]))
    tool = entry(manifest, "metadata.labels", "app.kubernetes.io/name")
    return entry(manifest, "metadata.labels", EXPOSURE) == "admin" or name in _ADMIN or tool in _ADMIN


def is_vpn(manifest: Manifest) -> bool:
    """Return whether an object's pods are the VPN: they say `app.kubernetes.io/component: vpn`."""
    return any(entry(metadata, "labels", COMPONENT) == "vpn" for _path, metadata in pod_metadata(manifest))


def _behind_vpn(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)

    def complaints(route: Route) -> Iterator[str]:
        refs = [ref for _path, ref in backends(route.rule)]
        named = [at(ref, "name") for ref in refs]
        places = [(at(ref, "namespace", identity(route.object)[0]), at(ref, "name")) for ref in refs]
        services = [each for each in edge.of.get("Service", []) if identity(each) in places]
        unseen = [{"metadata": {"name": name}} for name in named]
        if any(is_admin(each) for each in (route.object, *services, *unseen)):
            yield " leads from outside to what administrators use; attach it to the gateway with exposure: admin"

    yield from once(edge.exposed("public"), complaints)
    for service in edge.of.get("Service", []):
        public = is_balancer(service) and exposure(service) == "public"
        if public and any(is_admin(each) for each in (service, *behind(service, manifests))):
            yield (
                service,
                "spec.type gives what administrators use a public address; use ClusterIP, and a route behind the VPN",
            )


def _modern(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for manifest in manifests:
        if at(manifest, "kind") == "ConfigMap" and _of_vpn(manifest):
            yield from ((manifest, text) for text in _configured(manifest))
        elif is_vpn(manifest):
            yield from ((manifest, text) for text in _run(manifest))


def _configured(config: Manifest) -> Iterator[str]:
    for key in at(config, "data", {}):
        text = str(entry(config, "data", key))
        if _KEYS.search(text):
            yield f"data.{key} has a key of the VPN's, for all who may read ConfigMaps; put it into a Secret"
        if _WEAK.search("\n".join(re.findall(r"proposals\s*=\s*(.*)", text))):
            yield f"data.{key} takes ciphers that are broken or prove nothing; use aes256gcm16 with x25519"


def _run(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        if _OLD_PROGRAMS.search(str(at(container.spec, "image", ""))):
            yield f"{container.path}.image speaks a VPN's protocol that is broken; use WireGuard"
        for index, variable in enumerate(at(container.spec, "env", [])):
            secret = re.search(r"KEY|PASS|PSK|SECRET", str(at(variable, "name")).upper())
            if secret and at(variable, "value"):
                yield f"{container.path}.env[{index}] has a key of the VPN's; take it from a Secret"


def _of_vpn(manifest: Manifest) -> bool:
    return entry(manifest, "metadata.labels", COMPONENT) == "vpn"


def _peers(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    lists = [
        each
        for each in manifests
        if at(each, "kind") == "ConfigMap" and _of_vpn(each) and PEERS in at(each, "data", {})
    ]
    for manifest in manifests:
        if is_vpn(manifest) and identity(manifest)[0] not in {identity(each)[0] for each in lists}:
            yield manifest, f"metadata.namespace has no list of who uses the VPN; add a ConfigMap of it with {PEERS}"
    for config in lists:
        listed: Any = yaml.safe_load(entry(config, "data", PEERS))
        if not isinstance(listed, list):
            yield config, f"data.{PEERS} is no list; write [] for nobody"
            continue
        for index, peer in enumerate(cast("list[Manifest]", listed)):
            expires = at(peer, "expires")
            if not at(peer, "owner") or not isinstance(expires, date):
                fix = "set owner and expires, as 2027-04-30"
                yield config, f"data.{PEERS}[{index}] is answered for by nobody, or for ever; {fix}"
            elif expires < today():
                yield config, f"data.{PEERS}[{index}] has expired; remove the peer, or renew it"


def _confined(manifest: Manifest) -> Iterator[str]:
    for container in containers(manifest):
        added = at(container.security, "capabilities.add", [])
        if at(container.security, "privileged") or any(each not in ("NET_ADMIN", "CAP_NET_ADMIN") for each in added):
            yield f"{container.path} may do more than set up the network; add no capability but NET_ADMIN, and no privileged"
    for path, pod in pods(manifest):
        if at(pod, "automountServiceAccountToken") is not False:
            yield f"{path} carries a token for the cluster to where the outside is let in; set automountServiceAccountToken: false"


VPN_RULES = (
    StackRule(
        name="route-admin-behind-vpn",
        description="What administrators use is reached through the VPN only.",
        why="A dashboard that is public is found within the day, and it shows, or does, everything.",
        box="vpn-gateway",
        controls=("kubescape:C-0021",),
        about=lambda manifest: is_route(manifest) or is_balancer(manifest),
        severity="critical",
        check=_behind_vpn,
    ),
    StackRule(
        name="vpn-modern-keys",
        description="The VPN speaks what is not broken, and has its keys from Secrets.",
        why="Who reads its key out of a ConfigMap is in the private network, as whoever it is a key of.",
        box="vpn-gateway",
        about=lambda manifest: is_vpn(manifest) or (at(manifest, "kind") == "ConfigMap" and _of_vpn(manifest)),
        severity="high",
        check=_modern,
    ),
    StackRule(
        name="vpn-peers-owned",
        description="Every peer of the VPN has an owner and a day on which it ends.",
        why="The laptop of somebody who left is still a way in, and nobody knows whose it is.",
        box="vpn-gateway",
        about=is_vpn,
        severity="medium",
        check=_peers,
    ),
    Rule(
        name="vpn-confined",
        description="The VPN's pods set up the network and can do nothing else.",
        why="It is a program that the whole Internet talks to; what it may do, whoever breaks it may do.",
        box="vpn-gateway",
        controls=("checkov:CKV_K8S_25",),
        about=is_vpn,
        severity="high",
        check=_confined,
    ),
)
