"""Traffic inspection: nothing goes around what looks at traffic, and what was let in and refused is written down."""

import re
from collections.abc import Iterator
from typing import Any

from policies.backends import pod_metadata
from policies.containers import has_pods
from policies.rule import Manifest, Rule, at, kinds

_PASSES = {
    r"sidecar\.istio\.io/inject|consul\.hashicorp\.com/(connect-inject|transparent-proxy)": "true",
    r"sidecar\.istio\.io/interceptionMode": "redirect|tproxy",
    r"istio\.io/dataplane-mode": "ambient",
    r"istio-injection|linkerd\.io/inject|ambient\.istio\.io/redirection": "enabled",
    r"traffic\.sidecar\.istio\.io/(exclude|include).*|ambient\.istio\.io/bypass.*": "false",
    r"config\.linkerd\.io/(skip|opaque|disable).*|consul\.hashicorp\.com/transparent-proxy-exclude.*": "false",
    r"policy\.cilium\.io/no-track.*": "false",
}
"""What labels and annotations say of traffic, and the values with which it still passes what inspects it."""

_FIELDS = {
    "the request's number": ("X-REQUEST-ID",),
    "the client": ("DOWNSTREAM_REMOTE_ADDRESS", "DOWNSTREAM_DIRECT_REMOTE_ADDRESS"),
    "the answer": ("RESPONSE_CODE",),
    "the path": ("PATH",),
}
_LOG = "spec.telemetry.accessLog"


def _no_bypass(manifest: Manifest) -> Iterator[str]:
    carriers = list(pod_metadata(manifest))
    if at(manifest, "kind") == "Namespace":
        carriers.append(("metadata", at(manifest, "metadata", {})))
    for path, metadata in carriers:
        for part in ("labels", "annotations"):
            for key, value in at(metadata, part, {}).items():
                if not _passes(key, str(value).lower()):
                    yield f"{path}.{part} has {key}, which leads traffic around what inspects it; remove it"


def _passes(key: str, value: str) -> bool:
    """Return whether traffic still passes what inspects it, whatever other labels and annotations there are."""
    return all(re.fullmatch(still, value) for keys, still in _PASSES.items() if re.fullmatch(keys, key))


def _mutual(manifest: Manifest) -> Iterator[str]:
    if at(manifest, "kind") == "PeerAuthentication":
        ports = at(manifest, "spec.portLevelMtls", {})
        modes = {"spec.mtls": at(manifest, "spec.mtls.mode", "UNSET")}
        modes |= {f"spec.portLevelMtls.{port}": at(ports[port], "mode", "UNSET") for port in ports}
        for path, mode in modes.items():
            if mode != "STRICT":
                yield f"{path} takes connections from who does not show a certificate; set mode: STRICT"
        return
    policies: list[tuple[str, Any]] = [("spec.trafficPolicy", at(manifest, "spec.trafficPolicy", {}))]
    policies += [
        (f"spec.subsets[{index}].trafficPolicy", at(subset, "trafficPolicy", {}))
        for index, subset in enumerate(at(manifest, "spec.subsets", []))
    ]
    policies += [
        (f"{path}.portLevelSettings[{index}]", port)
        for path, policy in policies[:]
        for index, port in enumerate(at(policy, "portLevelSettings", []))
    ]
    for path, policy in policies:
        if at(policy, "tls.mode", "ISTIO_MUTUAL") not in ("ISTIO_MUTUAL", "MUTUAL"):
            yield f"{path}.tls.mode shows no certificate; use ISTIO_MUTUAL"


def _logged(manifest: Manifest) -> Iterator[str]:
    # What says nothing gets a log of all requests, on the standard output, with all of these fields.
    if at(manifest, f"{_LOG}.disable"):
        yield f"{_LOG}.disable leaves no trace of requests; remove it"
    settings: list[Manifest] = at(manifest, f"{_LOG}.settings", [])
    if settings and not any(at(each, "type", "Route") == "Route" and not at(each, "matches") for each in settings):
        yield f"{_LOG}.settings leaves out some requests; have one with no matches"
    for index, each in enumerate(settings):
        if not at(each, "sinks"):
            yield f"{_LOG}.settings[{index}] is written nowhere; set sinks"
        written = f"{at(each, 'format.text', '')} {list(at(each, 'format.json', {}).values())}".upper()
        if at(each, "format") is not None:
            for what, operators in _FIELDS.items():
                if not any(operator in written for operator in operators):
                    yield f"{_LOG}.settings[{index}].format does not say {what}; add %{operators[0]}%"


def _carries(manifest: Manifest) -> bool:
    return has_pods(manifest) or at(manifest, "kind") == "Namespace"


INSPECTION_RULES = (
    Rule(
        name="traffic-no-bypass",
        description="No pod and no namespace has its traffic led around what inspects it.",
        why="One annotation takes a pod out of the mesh: its traffic is in the clear, and no rule about it holds.",
        box="traffic-inspection",
        controls=("uds:RestrictIstioTrafficOverrides",),
        about=_carries,
        severity="high",
        check=_no_bypass,
    ),
    Rule(
        name="traffic-mutual-tls",
        description="A mesh takes and makes connections only with certificates on both sides.",
        why="Where it is permissive, a pod that was taken over speaks to any other as nobody in particular.",
        box="traffic-inspection",
        about=kinds("PeerAuthentication", "DestinationRule"),
        severity="high",
        check=_mutual,
    ),
    Rule(
        name="edge-access-log",
        description="The gateway writes down every request: whose, for what, and what was answered.",
        why="After an attack the first question is who asked for what; without a log nobody can say.",
        box="traffic-inspection",
        about=kinds("EnvoyProxy"),
        severity="medium",
        check=_logged,
    ),
)
