"""Who can read which Secret: the pods that mount it or take variables from it, and the accounts that may ask for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.containers import pods
from policies.permissions import Permissions, account_name, user_of
from policies.powers import READS_SECRETS
from policies.rule import Manifest, at, namespace_of

_SORTS = ("initContainers", "containers", "ephemeralContainers")
_PUBLIC = ("ca.crt", "tls.crt")  # what a server shows to everybody

Place = tuple[str, str]
"""The namespace and the name of a Secret."""


@dataclass(frozen=True, slots=True)
class Use:
    """A pod that reads a Secret: which, as whom, and whether as variables, which do not follow a change.

    `keys` are those that it takes, with the names it has for them; without any it takes them all.
    """

    secret: Place
    reader: str
    variable: bool
    keys: Mapping[str, str]


def uses(manifest: Manifest) -> Iterator[Use]:
    """Yield each Secret that the pods of an object read; one of which they see nothing but certificates is none."""
    namespace = namespace_of(manifest)
    for _path, pod in pods(manifest):
        reader = _reader(manifest, pod)
        for volume in at(pod, "volumes", []):
            for name, items in _of_volume(volume):
                keys = {at(item, "key", ""): at(item, "path", "") for item in items}
                if not keys or keys.keys() - set(_PUBLIC):
                    yield Use((namespace, name), reader, variable=False, keys=keys)
        for sort in _SORTS:
            for container in at(pod, sort, []):
                for name, keys in _of_environment(container):
                    yield Use((namespace, name), reader, variable=True, keys=keys)


def readers(manifests: Sequence[Manifest]) -> dict[Place, set[str]]:
    """Return for each Secret who can read it: the accounts of its pods, and whoever may ask for it.

    A pod under the account `default` is told by its object's name: that account is everybody's. Rights to the Secrets of the whole
    cluster are not counted here, or everything would be shared.
    """
    found: dict[Place, set[str]] = {}
    for manifest in manifests:
        for use in uses(manifest):
            found.setdefault(use.secret, set()).add(use.reader)
    for subject, grant, _power in Permissions(manifests).having(READS_SECRETS):
        if grant.namespace is not None:
            for name in at(grant.rule, "resourceNames", []) or _secrets_in(grant.namespace, manifests):
                found.setdefault((grant.namespace, name), set()).add(str(subject))
    return found


def _reader(manifest: Manifest, pod: Manifest) -> str:
    if account_name(pod) != "default":
        return str(user_of(manifest, pod))
    return f"{at(manifest, 'kind')} {namespace_of(manifest)}/{at(manifest, 'metadata.name')}"


def _of_volume(volume: Manifest) -> Iterator[tuple[str, list[Any]]]:
    if name := at(volume, "secret.secretName"):
        yield name, at(volume, "secret.items", [])
    for source in at(volume, "projected.sources", []):
        if name := at(source, "secret.name"):
            yield name, at(source, "secret.items", [])


def _of_environment(container: Manifest) -> Iterator[tuple[str, dict[str, str]]]:
    for variable in at(container, "env", []):
        if name := at(variable, "valueFrom.secretKeyRef.name"):
            yield name, {at(variable, "valueFrom.secretKeyRef.key", ""): at(variable, "name", "")}
    for source in at(container, "envFrom", []):
        if name := at(source, "secretRef.name"):
            yield name, {}


def _secrets_in(namespace: str, manifests: Sequence[Manifest]) -> Iterator[str]:
    """Yield the Secrets there: those of the stack, and those that certificates are written to."""
    for manifest in manifests:
        if namespace_of(manifest) == namespace:
            if at(manifest, "kind") == "Secret":
                yield at(manifest, "metadata.name")
            elif at(manifest, "kind") == "Certificate":
                yield at(manifest, "spec.secretName")
