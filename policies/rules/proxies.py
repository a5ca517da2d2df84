"""The gateway's proxies: confined as every pod, told by nobody who a client is, and reading a request as the program behind them does."""

from collections.abc import Iterator, Sequence

from policies.edge import Edge
from policies.ranges import whole_internet
from policies.rule import Manifest, Rule, StackRule, at, kinds
from policies.rules.exposure import of_gateway
from policies.rules.pod_host import POD_HOST_RULES
from policies.rules.pod_kernel import POD_KERNEL_RULES
from policies.rules.pod_users import POD_USER_RULES

_MADE = ("spec.provider.kubernetes.envoyDeployment", "spec.provider.kubernetes.envoyDaemonSet")
_CONFINING = (*POD_HOST_RULES, *POD_KERNEL_RULES, *POD_USER_RULES)
_DEFAULT = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The context that Envoy Gateway gives its containers, which write files, where it is given none. One that is given takes its place."""


def _confined(manifest: Manifest) -> Iterator[str]:
    for place in _MADE:
        given = {key: value for key, value in at(manifest, f"{place}.container", {}).items() if value is not None}
        spec = {**at(manifest, f"{place}.pod", {}), "containers": [{"securityContext": _DEFAULT, **given}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
        for rule in _CONFINING:
            for text in rule.check(pod) if rule.about(pod) else ():
                own = text.removeprefix("spec.containers[0]")
                yield f"{place}.container{own}" if own != text else f"{place}.pod.{text.removeprefix('spec.')}"


def _told(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    edge = Edge(manifests)
    for listener in edge.listeners:
        service = of_gateway(listener.gateway, manifests).service
        ranges = at(service, "loadBalancerSourceRanges", [])
        closed = at(service, "type") == "ClusterIP" or (bool(ranges) and not whole_internet(ranges))
        for text in _believed(edge.of_listener("ClientTrafficPolicy", listener), closed=closed):
            yield listener.gateway, f"{listener.path} {text} in its ClientTrafficPolicy"


def _believed(policy: Manifest, *, closed: bool) -> Iterator[str]:
    detection, trusted = at(policy, "clientIPDetection", {}), "clientIPDetection.xForwardedFor.trustedCIDRs"
    if whole_internet(at(policy, trusted, [])):
        yield f"believes every client what its address is; name the proxies before it in {trusted}"
    by_header = at(detection, "xForwardedFor.numTrustedHops") is not None or at(detection, "customHeader") is not None
    if by_header and not closed:
        # Who comes past the proxies that set the header, sets it.
        fix = f"let in none but them by loadBalancerSourceRanges, or name them in {trusted}"
        yield f"believes a header of whoever connects, proxy or not; {fix}"
    if at(policy, "headers.xForwardedClientCert.mode") == "AlwaysForwardOnly":
        yield "passes on a certificate that a client only names; set headers.xForwardedClientCert.mode to Sanitize"


def _read_alike(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "spec.path.escapedSlashesAction") == "KeepUnchanged":
        yield "spec.path.escapedSlashesAction hides slashes from rules about paths; take it away, or set RejectRequest"
    if at(manifest, "spec.path.disableMergeSlashes"):
        yield "spec.path.disableMergeSlashes leads //path past a rule for /path; take it away"
    if at(manifest, "spec.headers.withUnderscoresAction") == "Allow":
        yield "spec.headers.withUnderscoresAction lets X_Id in, which many programs read as X-Id; take it away"


PROXY_RULES = (
    Rule(
        name="edge-proxy-confined",
        description="The pods that Envoy Gateway makes of an EnvoyProxy are confined as every pod is.",
        why="The first program that reads what a stranger sends is the first to be taken over, and no rule about pods sees its pods.",
        box="api-gateway",
        controls=("nsa:C-0013", "nsa:C-0016", "nsa:C-0057"),
        about=kinds("EnvoyProxy"),
        severity="high",
        check=_confined,
    ),
    StackRule(
        name="edge-clients-known",
        description="Who a client is, the gateway knows by the connection, or from proxies that nobody comes past.",
        why="Who may choose an address has a limit of their own for every request, and comes from wherever is let in.",
        box="ddos-protection",
        about=kinds("ClientTrafficPolicy"),
        severity="high",
        check=_told,
    ),
    Rule(
        name="edge-requests-read-alike",
        description="The gateway reads paths and headers as the programs behind it do.",
        why="A path that is /a%2Fadmin to the gateway and /a/admin to the program is let in by the rule for /a.",
        box="input-validation",
        controls=("owasp-api:API8",),
        about=kinds("ClientTrafficPolicy"),
        severity="high",
        check=_read_alike,
    ),
)
