"""The external firewall: what of the cluster can be reached from outside, and that nothing else can."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.backends import behind, pod_metadata
from policies.containers import pods
from policies.edge import EXPOSURE, EXPOSURES, entry, is_gateway
from policies.host_firewalls import host_firewalls, is_host_firewall, reached
from policies.ranges import whole_internet
from policies.rule import Manifest, Rule, StackRule, at, identity, kinds

COMPONENT = "app.kubernetes.io/component"
_ENTRANCES = ("edge", "vpn")
_OWN_NAMES = (".local", ".internal", ".localhost", ".svc", ".cluster", ".lan", ".home", ".corp")

is_service = kinds("Service")


def is_balancer(manifest: Manifest) -> bool:
    """Return whether an object is a Service that the outside has an address of."""
    return is_service(manifest) and at(manifest, "spec.type") == "LoadBalancer"


@dataclass(frozen=True, slots=True, eq=False)
class Entrance:
    """A Service as the outside may reach it: of which object, where that says so, and whether it says that it is public."""

    object: Manifest
    path: str
    service: Manifest
    public: bool


def entrances(manifests: Sequence[Manifest]) -> Iterator[Entrance]:
    """Yield each Service, and the one that Envoy Gateway makes for each Gateway: a load balancer, unless an EnvoyProxy says else.

    How far one reaches, the Service or the Gateway says itself, in its label `exposure`.
    """
    for manifest in manifests:
        if is_service(manifest):
            yield Entrance(manifest, "spec", at(manifest, "spec", {}), _public(manifest))
        elif is_gateway(manifest):
            yield of_gateway(manifest, manifests)


def of_gateway(gateway: Manifest, manifests: Sequence[Manifest]) -> Entrance:
    """Return the Service that Envoy Gateway makes for a Gateway."""
    proxy = _proxy(gateway, manifests)
    path = "spec.provider.kubernetes.envoyService"
    service = {"type": "LoadBalancer", **at(proxy, path, {})}
    return Entrance(proxy or gateway, path if proxy else "spec.infrastructure", service, _public(gateway))


def _public(manifest: Manifest) -> bool:
    return entry(manifest, "metadata.labels", EXPOSURE) == "public"


def _proxy(gateway: Manifest, manifests: Sequence[Manifest]) -> Manifest | None:
    ref, namespace = at(gateway, "spec.infrastructure.parametersRef"), identity(gateway)[0]
    for manifest in manifests if ref is None else ():
        if at(manifest, "kind") == "GatewayClass" and identity(manifest)[1] == at(gateway, "spec.gatewayClassName"):
            ref = at(manifest, "spec.parametersRef")
            namespace = at(ref, "namespace")
    wanted = (namespace, at(ref, "name"))
    proxies = (each for each in manifests if at(each, "kind") == "EnvoyProxy" and identity(each) == wanted)
    return next(proxies, None)


def _declared_balancer(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    # A Service says how far it reaches, in its label `exposure`; its pods what they are, in `app.kubernetes.io/component`.
    for manifest in manifests:
        if is_balancer(manifest):
            if entry(manifest, "metadata.labels", EXPOSURE) not in EXPOSURES:
                yield (
                    manifest,
                    f"metadata.labels does not say how far it reaches; set {EXPOSURE} to public, admin or internal",
                )
            workloads = behind(manifest, manifests)
            labels = [at(pod, "labels", {}) for each in workloads for _path, pod in pod_metadata(each)]
            if not labels or any(each.get(COMPONENT) not in _ENTRANCES for each in labels):
                fix = "use ClusterIP, and a route of the gateway"
                yield manifest, f"spec.type gives what is no entrance an address outside; {fix}"
    public = [each for each in entrances(manifests) if each.public and at(each.service, "type") == "LoadBalancer"]
    for each in public[1:]:
        yield each.object, f"{each.path} is a second public entrance; put its routes on the first"


def _no_node_port(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for each in entrances(manifests):
        for text in _on_every_node(each.service):
            yield each.object, f"{each.path}{text}"


def _on_every_node(service: Manifest) -> Iterator[str]:
    sort = at(service, "type", "ClusterIP")
    if sort == "NodePort":
        yield ".type opens a port on every node; use ClusterIP"
    elif sort == "LoadBalancer" and at(service, "allocateLoadBalancerNodePorts", True) is not False:
        yield " opens a port on every node as well; set allocateLoadBalancerNodePorts: false"
    for index, port in enumerate(at(service, "ports", [])):
        if at(port, "nodePort"):
            yield f".ports[{index}].nodePort opens a port on every node; remove it"


def _sources(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for each in entrances(manifests):
        ranges = at(each.service, "loadBalancerSourceRanges", [])
        if at(each.service, "type") == "LoadBalancer" and not each.public and (not ranges or whole_internet(ranges)):
            fix = "set loadBalancerSourceRanges to who may connect"
            yield each.object, f"{each.path} takes connections from everywhere; {fix}"


def _external_ips(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "spec.externalIPs"):
        yield "spec.externalIPs takes traffic that is meant for other hosts; remove it"


def _external_name(manifest: Manifest) -> Iterator[str]:
    name = str(at(manifest, "spec.externalName", "")).rstrip(".").lower()
    if re.fullmatch(r"[0-9.]+|.*:.*", name) or "." not in name or name.endswith(_OWN_NAMES):
        yield "spec.externalName leads into the cluster or the network it is in; name a public DNS name"


def _is_external_name(manifest: Manifest) -> bool:
    return is_service(manifest) and at(manifest, "spec.type") == "ExternalName"


def _ports_closed(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    firewalls = host_firewalls(manifests)
    ports = list(reached(manifests))
    for firewall in firewalls:
        for protocol, number, manifest, path in ports:
            if not any(sort == protocol and first <= number <= last for sort, first, last, _where in firewall.openings):
                yield manifest, f"{path} is a port that the nodes' firewall does not open; open it there, or do without"
        for sort, first, last, path in firewall.openings:
            served = {number for protocol, number, _manifest, _path in ports if protocol == sort}
            if len([number for number in served if first <= number <= last]) <= last - first:
                yield (
                    firewall.object,
                    f"{path} opens what nothing serves; open only the ports of listeners and Services",
                )


def _nodes_guarded(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    firewalls = [firewall for firewall in host_firewalls(manifests) if firewall.drops]
    if not firewalls:
        entrances = [each for each in manifests if _lets_in(each)]
        yield (
            entrances[0],
            "metadata lets the outside in while no firewall guards the nodes; add one that drops by default",
        )
        return
    for manifest in manifests:
        if not any(_on_nodes(firewall.nodes, manifest) for firewall in firewalls):
            yield manifest, "spec may run on nodes that no firewall guards; put the firewall on all nodes"


def _on_nodes(nodes: Manifest, manifest: Manifest) -> bool:
    """Return whether all pods of an object are bound to nodes with some labels."""
    bound = [at(pod, "nodeSelector", {}) for _path, pod in pods(manifest)]
    return all(each.get(key) == value for each in bound for key, value in nodes.items())


def _lets_in(manifest: Manifest) -> bool:
    return is_gateway(manifest) or is_balancer(manifest)


EXPOSURE_RULES = (
    StackRule(
        name="edge-load-balancer",
        description="Only the edge and the VPN have an address outside, each says how far it reaches, and one is public.",
        why="A Service that is given an address of its own is reached past the WAF, the limits and the login.",
        box="external-firewall",
        controls=("kubescape:C-0256", "kubescape:C-0266"),
        about=_lets_in,
        severity="critical",
        check=_declared_balancer,
    ),
    StackRule(
        name="edge-no-node-port",
        description="No port is opened on every node for a Service.",
        why="Who knows the address of any node gets to the Service past the load balancer and its list of sources.",
        box="external-firewall",
        controls=("kubescape:C-0256", "kube-score:service-type"),
        about=kinds("Service", "Gateway"),
        severity="high",
        check=_no_node_port,
    ),
    StackRule(
        name="edge-load-balancer-sources",
        description="What has an address outside and is not the public entrance says who may connect.",
        why="The VPN's or an internal address that anybody can reach is one flaw in its program away from the inside.",
        box="external-firewall",
        about=_lets_in,
        severity="high",
        check=_sources,
    ),
    Rule(
        name="edge-no-external-address",
        description="No Service takes over addresses of other hosts.",
        why="A Service with another host's address gets that host's traffic: CVE-2020-8554.",
        box="external-firewall",
        controls=("trivy:KSV-0108",),
        about=is_service,
        severity="high",
        check=_external_ips,
    ),
    Rule(
        name="edge-external-name",
        description="A Service that is another name stands for a public one.",
        why="A name of the cluster or of localhost makes a route of the gateway lead to what no route may lead to.",
        box="external-firewall",
        about=_is_external_name,
        severity="medium",
        check=_external_name,
    ),
    StackRule(
        name="edge-ports-closed",
        description="The nodes' firewall opens the ports that something serves outside, and no other.",
        why="A port that is open and not used today is reached tomorrow, by whatever listens there then.",
        box="external-firewall",
        about=is_host_firewall,
        severity="critical",
        check=_ports_closed,
    ),
    StackRule(
        name="edge-nodes-guarded",
        description="Where the outside is let in, a firewall that drops by default guards every node with pods.",
        why="The kubelet, SSH and every hostPort of a node are open to whoever can reach its address.",
        box="external-firewall",
        about=_lets_in,
        severity="high",
        check=_nodes_guarded,
    ),
)
