"""The web application firewalls of a stack, and which routes are behind one.

Two sorts: an EnvoyExtensionPolicy whose filter is told SecLang, and a workload whose pods say `app.kubernetes.io/component: waf`, to
which a route leads instead of to the application. The latter is told by its environment, as the image of the Core Rule Set
takes it, and by SecLang in the ConfigMaps that it mounts.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from policies.backends import behind, pod_metadata
from policies.containers import containers, pods
from policies.edge import Edge, Route, backends, entry
from policies.rule import Manifest, Unreadable, at, identity
from policies.seclang import Directive, included, is_seclang, parse

COMPONENT = "app.kubernetes.io/component"
_ENVIRONMENT = {
    "MODSEC_RULE_ENGINE": "SecRuleEngine {}",
    "MODSEC_REQ_BODY_ACCESS": "SecRequestBodyAccess {}",
    "MODSEC_REQ_BODY_LIMIT": "SecRequestBodyLimit {}",
    "MODSEC_REQ_BODY_LIMIT_ACTION": "SecRequestBodyLimitAction {}",
    "PARANOIA": 'SecAction "setvar:tx.blocking_paranoia_level={}"',
    "BLOCKING_PARANOIA": 'SecAction "setvar:tx.blocking_paranoia_level={}"',
    "ANOMALY_INBOUND": 'SecAction "setvar:tx.inbound_anomaly_score_threshold={}"',
    "ANOMALY_OUTBOUND": 'SecAction "setvar:tx.outbound_anomaly_score_threshold={}"',
}
_FILTERS = ("wasm", "dynamicModule")


@dataclass(frozen=True, slots=True, eq=False)
class WebFirewall:
    """A firewall: where it is described, what it is told, and whether it comes with the Core Rule Set."""

    object: Manifest
    path: str
    directives: list[Directive]
    core: bool = False


def is_web_firewall(manifest: Manifest) -> bool:
    """Return whether an object is a web application firewall, or tells the gateway to be one."""
    if at(manifest, "kind") == "EnvoyExtensionPolicy":
        return any(True for _filter in _filters(at(manifest, "spec", {})))
    return any(entry(metadata, "labels", COMPONENT) == "waf" for _path, metadata in pod_metadata(manifest))


def web_firewalls(manifests: Sequence[Manifest]) -> Iterator[WebFirewall]:
    """Yield each firewall; a filter that has several sets of directives is one for each."""
    for manifest in manifests:
        if is_web_firewall(manifest):
            if at(manifest, "kind") == "EnvoyExtensionPolicy":
                for path, texts in _filters(at(manifest, "spec", {})):
                    yield WebFirewall(manifest, f"spec.{path}", parse("\n".join(texts)))
            else:
                yield _workload(manifest, manifests)


def behind_one(route: Route, edge: Edge, manifests: Sequence[Manifest]) -> bool:
    """Return whether all that a route lets in goes through a firewall first."""
    policy = edge.policy("EnvoyExtensionPolicy", route)
    if any(True for _filter in _filters(policy)):
        return True
    targets = [_service(ref, route, edge) for _path, ref in backends(route.rule)]
    workloads = [behind(service, manifests) if service else [] for service in targets]
    # A Service sends to any pod that it selects: each of them has to be one.
    return bool(workloads) and all(each and all(is_web_firewall(one) for one in each) for each in workloads)


def _service(ref: Manifest, route: Route, edge: Edge) -> Manifest | None:
    wanted = (at(ref, "namespace", identity(route.object)[0]), at(ref, "name"))
    found = (each for each in edge.of.get("Service", []) if identity(each) == wanted)
    return next(found, None) if at(ref, "kind", "Service") == "Service" else None


def _filters(spec: Manifest) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of each filter that is told SecLang, and the directives; several times if it has several sets."""
    for sort in _FILTERS:
        for index, each in enumerate(at(spec, sort, [])):
            for key, texts in _sets(at(each, "config", {}), f"{sort}[{index}].config"):
                if is_seclang("\n".join(texts)):
                    yield key, texts


def _sets(value: Any, path: str) -> Iterator[tuple[str, list[str]]]:
    if isinstance(value, Unreadable):
        value.read()
    if isinstance(value, str):
        yield path, [value]
    elif isinstance(value, list):
        yield path, [f"{each}" for each in cast("list[Any]", value)]
    elif isinstance(value, dict):
        for key, inner in cast("Manifest", value).items():
            yield from _sets(inner, f"{path}.{key}")


def _workload(manifest: Manifest, manifests: Sequence[Manifest]) -> WebFirewall:
    texts = list[str]()
    images = list[str]()
    path = ""
    for container in containers(manifest):
        path = path or container.path
        images.append(at(container.spec, "image", ""))
        for variable in at(container.spec, "env", []):
            template = _ENVIRONMENT.get(at(variable, "name"))
            if template:
                texts.append(template.format(at(variable, "value", "")))
    mounted = {at(volume, "configMap.name") for _path, pod in pods(manifest) for volume in at(pod, "volumes", [])} | {
        at(source, "configMap.name") for _path, pod in pods(manifest) for source in _projected(pod)
    }
    for each in manifests:
        if at(each, "kind") == "ConfigMap" and identity(each) in {(identity(manifest)[0], name) for name in mounted}:
            texts += [told for text in at(each, "data", {}).values() for told in _told(text)]
    return WebFirewall(manifest, path, parse("\n".join(texts)), any("modsecurity-crs" in image for image in images))


def _told(text: str) -> Iterator[str]:
    """Yield the SecLang in a file of a firewall: all of it, or what nginx's configuration has of it."""
    if is_seclang(text) or included(parse(text)):
        yield text
    yield from (found[2] for found in re.finditer(r"\bmodsecurity_rules\s+(['\"])(.*?)\1", text, re.DOTALL))
    if re.search(r"^\s*modsecurity\s+off\s*;", text, re.MULTILINE | re.IGNORECASE):
        yield "SecRuleEngine Off"


def _projected(pod: Manifest) -> Iterator[Manifest]:
    for volume in at(pod, "volumes", []):
        yield from at(volume, "projected.sources", [])
