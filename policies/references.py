"""What a pod refers to by name, and what the stack has of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.containers import containers, pods
from policies.rule import Manifest, at, namespace_of

CERTIFICATE_KEYS = frozenset({"tls.crt", "tls.key", "ca.crt"})
"""What cert-manager writes into the Secret of a Certificate."""

_ROOT = "kube-root-ca.crt"  # which Kubernetes puts into each namespace


@dataclass(frozen=True, slots=True)
class Reference:
    """A ConfigMap or a Secret that a pod needs in its own namespace: where it is named, and which keys of it."""

    path: str
    kind: str
    name: str
    keys: tuple[str, ...] = ()


def references(manifest: Manifest) -> Iterator[Reference]:
    """Yield each ConfigMap and Secret without which a pod of this object does not start."""
    for path, pod in pods(manifest):
        for index, volume in enumerate(at(pod, "volumes", [])):
            where = f"{path}.volumes[{index}]"
            yield from _source(where, volume, "secretName")
            for each in at(volume, "projected.sources", []):
                yield from _source(f"{where}.projected", each, "name")
        for index, secret in enumerate(at(pod, "imagePullSecrets", [])):
            yield Reference(f"{path}.imagePullSecrets[{index}]", "Secret", at(secret, "name", ""))
    for container in containers(manifest):
        for sort, inner in (("env", "valueFrom.{}KeyRef"), ("envFrom", "{}Ref")):
            for index, variable in enumerate(at(container.spec, sort, [])):
                where = f"{container.path}.{sort}[{index}]"
                for kind, key in (("Secret", "secret"), ("ConfigMap", "configMap")):
                    found = at(variable, inner.format(key))
                    if found is not None and not at(found, "optional"):
                        keys = (at(found, "key", ""),) if sort == "env" else ()
                        yield Reference(where, kind, at(found, "name", ""), keys)


def _source(where: str, volume: Manifest, name: str) -> Iterator[Reference]:
    for kind, key, naming in (("Secret", "secret", name), ("ConfigMap", "configMap", "name")):
        found = at(volume, key)
        if found is not None and not at(found, "optional"):
            keys = tuple(at(item, "key", "") for item in at(found, "items", []))
            yield Reference(f"{where}.{key}", kind, at(found, naming, ""), keys)


def offered(manifests: Sequence[Manifest], within: str) -> dict[tuple[str, str], set[str] | None]:
    """Return the keys of each ConfigMap and Secret that the stack has in a namespace, by kind and name.

    Of a Secret of the program's own they are None: a preview does not know them while any of its values is not known.
    """
    found: dict[tuple[str, str], set[str] | None] = {("ConfigMap", _ROOT): {"ca.crt"}}
    for manifest in manifests:
        kind = at(manifest, "kind")
        if kind in ("ConfigMap", "Secret", "Certificate") and namespace_of(manifest) == within:
            name = at(manifest, "spec.secretName" if kind == "Certificate" else "metadata.name", "")
            if kind == "Certificate":
                found["Secret", name] = set(CERTIFICATE_KEYS)
            elif kind == "Secret":
                found["Secret", name] = None
            else:
                found["ConfigMap", name] = {*at(manifest, "data", {}), *at(manifest, "binaryData", {})}
    return found


def claims(manifests: Sequence[Manifest]) -> Iterator[tuple[str, str, Manifest]]:
    """Yield each claim of the stack that is there to stay: its namespace, its name, and what it asks for.

    Those of a StatefulSet have the name of the template, of the set and of the pod.
    """
    for manifest in manifests:
        if at(manifest, "kind") == "PersistentVolumeClaim":
            yield namespace_of(manifest), at(manifest, "metadata.name", ""), at(manifest, "spec", {})
        if at(manifest, "kind") == "StatefulSet":
            for template in at(manifest, "spec.volumeClaimTemplates", []):
                first = f"{at(template, 'metadata.name')}-{at(manifest, 'metadata.name')}"
                for ordinal in range(int(at(manifest, "spec.replicas", 1))):
                    yield namespace_of(manifest), f"{first}-{ordinal}", at(template, "spec", {})
