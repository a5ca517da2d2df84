"""Which program a workload runs, and what it is told: its arguments, its environment, and the files that ConfigMaps give it."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import yaml

from policies.containers import pods
from policies.rule import Manifest, Unreadable, at, found_once, namespace_of

_NAME = "app.kubernetes.io/name"
_OPERATED = {"Alertmanager": "alertmanager-operated", "Prometheus": "prometheus-operated"}
"""The Services that the Prometheus operator makes for itself, in the namespace of what it runs."""

Objects = Sequence[Manifest]


@dataclass(frozen=True, slots=True)
class Program:
    """A container that runs a program: the object it is of, its pod, itself, and its files, by their paths."""

    of: Manifest
    pod: Manifest
    spec: Manifest
    files: Mapping[str, Any]

    @property
    def arguments(self) -> list[str]:
        """Return its command line, word by word; where a shell is given a text, the words of that."""
        words = [str(each) for key in ("command", "args") for each in at(self.spec, key, [])]
        shell = words[:1] and words[0].rpartition("/")[2] in ("sh", "bash") and "-c" in words
        return [part for word in words for part in (shlex.split(word, comments=True) if shell else [word])]

    def option(self, *names: str) -> list[str]:
        """Return each value of an option, given as `--name=value` or as two words."""
        words = self.arguments
        found = list[str]()
        for word, following in zip(words, [*words, ""][1:], strict=True):
            name, equals, value = word.partition("=")
            if name in names:
                found.append(value if equals else following)
        return found

    def flag(self, name: str) -> bool:
        """Return whether a switch is on its command line, in any way but `--name=false`."""
        return any(word.partition("=")[0] == name and word.lower() != f"{name}=false" for word in self.arguments)

    def variable(self, name: str) -> Any:
        """Return what an environment variable is set to; the Unreadable itself if it cannot be read, None if it is not set."""
        for each in reversed(at(self.spec, "env", [])):
            if at(each, "name") == name:
                return Unreadable(f"env {name}", "a secret") if at(each, "valueFrom") else each.get("value")
        return None

    def file(self, *names: str) -> Any:
        """Return the parsed content of the file with one of these names; None if no ConfigMap of the stack gives it one."""
        for path, text in self.files.items():
            if path.rpartition("/")[2] in names:
                return parsed(text)
        return None


def of(program: str) -> Callable[[Manifest], bool]:
    """Return what tells whether an object runs a program: by its name, or by its image's."""
    return lambda manifest: any(True for _container in _running(manifest, program))


def programs(manifests: Objects, name: str) -> Iterator[Program]:
    """Yield each container that runs a program, in any object."""
    for manifest in manifests:
        for pod, container in _running(manifest, name):
            yield Program(manifest, pod, container, _files(manifest, pod, container, manifests))


def parsed(text: Any) -> Any:
    """Return what YAML, or JSON, stands for; raise UnreadableError if the text cannot be read."""
    if isinstance(text, Unreadable):
        text.read()
    return _parsed(text) if isinstance(text, str) else None


def service(address: str, namespace: str) -> tuple[str, str] | None:
    """Return the namespace and name of the Service that an address or URL is of; None if it is outside the cluster."""
    scheme, _, rest = address.rpartition("://")
    host = rest.partition("/")[0].rpartition("@")[2].partition(":")[0]
    name, *domain = host.split(".")
    if not domain:
        return None if name in ("localhost", "") else (namespace, name)
    # `a.b` may be a domain or a Service of a namespace; only the one is reached by HTTPS with a certificate that is trusted.
    inside = domain[1:] in (["svc"], ["svc", "cluster", "local"]) or (len(domain) == 1 and scheme != "https")
    return (domain[0], name) if inside else None


def services(manifests: Objects) -> set[tuple[str, str]]:
    """Return the namespace and name of each Service that there is, or that an operator makes for what there is."""
    found = set[tuple[str, str]]()
    for manifest in manifests:
        kind, namespace = at(manifest, "kind"), namespace_of(manifest)
        if kind == "Service":
            found.add((namespace, at(manifest, "metadata.name")))
        elif kind in _OPERATED:
            found.add((namespace, at(manifest, "spec.serviceName", _OPERATED[kind])))
    return found


@lru_cache(maxsize=256)
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


@found_once
def _running(manifest: Manifest, name: str) -> Iterator[tuple[Manifest, Manifest]]:
    for _path, pod in pods(manifest):
        label = at(manifest, "metadata.labels", {}).get(_NAME)
        found = [each for each in at(pod, "containers", []) if _image(each, label) == name]
        for container in found or (at(pod, "containers", [])[:1] if label == name else []):
            yield pod, container


def _image(container: Any, label: Any) -> str:
    """Return the name of a container's image, without registry and version.

    One that cannot be read is that of what the object is labelled as, if it is: it is refused as an image in any case, and
    would otherwise be a breach of every rule about a program.
    """
    if label and isinstance(container, dict) and isinstance(cast("Manifest", container).get("image"), Unreadable):
        return str(label)
    return str(at(container, "image", "")).rpartition("/")[2].partition("@")[0].partition(":")[0]


def _files(manifest: Manifest, pod: Manifest, container: Manifest, manifests: Objects) -> dict[str, Any]:
    namespace = namespace_of(manifest)
    maps = {
        at(each, "metadata.name"): each
        for each in manifests
        if at(each, "kind") == "ConfigMap" and namespace_of(each) == namespace
    }
    volumes = {at(volume, "name"): volume for volume in at(pod, "volumes", [])}
    found = dict[str, Any]()
    for mount in at(container, "volumeMounts", []):
        place, part = at(mount, "mountPath", ""), at(mount, "subPath")
        for file, text in _contents(volumes.get(at(mount, "name"), {}), maps):
            if not part:
                found[f"{place.rstrip('/')}/{file}"] = text
            elif file == part:
                found[place] = text
    return found


def _contents(volume: Manifest, maps: Mapping[str, Manifest]) -> Iterator[tuple[str, Any]]:
    parts = [at(each, "configMap", {}) for each in at(volume, "projected.sources", [])]
    for part in (at(volume, "configMap", {}), *parts):
        data: Manifest = at(maps.get(at(part, "name"), {}), "data", {})
        items = {at(each, "key"): at(each, "path") for each in at(part, "items", [])} or {key: key for key in data}
        yield from ((path, data[key]) for key, path in items.items() if key in data)
