"""Who can read which Secret: the pods that mount it or take variables from it, and the accounts that may ask for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from policies.containers import pods
from policies.rule import Manifest, at

_SORTS = ("initContainers", "containers", "ephemeralContainers")
_PUBLIC = ("ca.crt", "tls.crt")  # what a server shows to everybody
_READING = {"get", "list", "watch", "*"}

Place = tuple[str, str]
"""The namespace and the name of a Secret."""


@dataclass(frozen=True, slots=True)
class Use:
    """A pod that reads a Secret: which, and whether as variables, which do not follow a change."""

    secret: Place
    variable: bool


def uses(manifest: Manifest) -> Iterator[Use]:
    """Yield each Secret that the pods of an object read; one of which they see nothing but certificates is none."""
    namespace = at(manifest, "metadata.namespace", "default")
    for _path, pod in pods(manifest):
        for volume in at(pod, "volumes", []):
            for name, items in _of_volume(volume):
                if not items or any(at(item, "key") not in _PUBLIC for item in items):
                    yield Use((namespace, name), variable=False)
        for sort in _SORTS:
            for container in at(pod, sort, []):
                for name in _of_environment(container):
                    yield Use((namespace, name), variable=True)


def readers(manifests: Sequence[Manifest]) -> dict[Place, set[str]]:
    """Return for each Secret the accounts that can read it, as `NAMESPACE/NAME`.

    A pod under the account `default` is told by its own name: that account is everybody's. Rights to all Secrets of the whole
    cluster are not counted here, or everything would be shared.
    """
    found: dict[Place, set[str]] = {}
    for manifest in manifests:
        for use in uses(manifest):
            found.setdefault(use.secret, set()).add(_reader(manifest))
        if at(manifest, "kind") == "RoleBinding":
            for place in _granted(manifest, manifests):
                found.setdefault(place, set()).update(subjects(manifest))
    return found


def subjects(binding: Manifest) -> Iterator[str]:
    """Yield who a binding gives its rights to."""
    for subject in at(binding, "subjects", []):
        account = at(subject, "kind") == "ServiceAccount"
        here = at(binding, "metadata.namespace", "default") if account else at(subject, "kind")
        yield f"{at(subject, 'namespace', here)}/{at(subject, 'name')}"


def rules_of(binding: Manifest, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield the rules of the role that a binding gives."""
    kind, name = at(binding, "roleRef.kind"), at(binding, "roleRef.name")
    for role in manifests:
        here = kind == "ClusterRole" or at(role, "metadata.namespace") == at(binding, "metadata.namespace")
        if here and at(role, "kind") == kind and at(role, "metadata.name") == name:
            yield from at(role, "rules", [])


def account(manifest: Manifest) -> str:
    """Return the account of an object's pods, as `NAMESPACE/NAME`."""
    name = next((at(pod, "serviceAccountName", "default") for _path, pod in pods(manifest)), "default")
    return f"{at(manifest, 'metadata.namespace', 'default')}/{name}"


def _reader(manifest: Manifest) -> str:
    found = account(manifest)
    if not found.endswith("/default"):
        return found
    return f"{found.rpartition('/')[0]}/{at(manifest, 'metadata.name')} (without an account)"


def _of_volume(volume: Manifest) -> Iterator[tuple[str, list[Any]]]:
    if name := at(volume, "secret.secretName"):
        yield name, at(volume, "secret.items", [])
    for source in at(volume, "projected.sources", []):
        if name := at(source, "secret.name"):
            yield name, at(source, "secret.items", [])


def _of_environment(container: Manifest) -> Iterator[str]:
    for variable in at(container, "env", []):
        if name := at(variable, "valueFrom.secretKeyRef.name"):
            yield name
    for source in at(container, "envFrom", []):
        if name := at(source, "secretRef.name"):
            yield name


def _granted(binding: Manifest, manifests: Sequence[Manifest]) -> Iterator[Place]:
    namespace = at(binding, "metadata.namespace", "default")
    for rule in rules_of(binding, manifests):
        if not {"secrets", "*"} & set(at(rule, "resources", [])) or not _READING & set(at(rule, "verbs", [])):
            continue
        for name in at(rule, "resourceNames", []) or _secrets_in(namespace, manifests):
            yield namespace, name


def _secrets_in(namespace: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield the Secrets there: those of the stack, and those that certificates are written to."""
    for manifest in manifests:
        if at(manifest, "metadata.namespace", "default") == namespace:
            if at(manifest, "kind") == "Secret":
                yield at(manifest, "metadata.name")
            elif at(manifest, "kind") == "Certificate":
                yield at(manifest, "spec.secretName")
