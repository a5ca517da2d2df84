"""What a workload names is there: without it no pod starts, and the run that brought it hangs."""

from collections.abc import Iterator, Sequence

from policies.containers import has_pods, pods
from policies.references import claims, offered, references
from policies.rule import Manifest, StackRule, at, kinds, namespace_of

_CLAIM = "persistentVolumeClaim.claimName"
_BUILT_IN = {"PriorityClass": {"system-node-critical", "system-cluster-critical"}}


def _configuration(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    within: dict[str, dict[tuple[str, str], set[str] | None]] = {}
    for manifest in manifests:
        for needed in references(manifest):
            place = namespace_of(manifest)
            if place not in within:
                within[place] = offered(manifests, place)
            there = (needed.kind, needed.name)
            if there not in within[place]:
                yield manifest, f"{needed.path} names a {needed.kind} that is not in its namespace; create it there"
                continue
            keys = within[place][there]
            if keys is not None and (missing := sorted(set(needed.keys) - keys)):
                yield manifest, f"{needed.path} wants {', '.join(missing)} of a {needed.kind} without it; add the key"


def _claims_volumes(manifest: Manifest) -> bool:
    return any(at(volume, _CLAIM) for _path, pod in pods(manifest) for volume in at(pod, "volumes", []))


def _volumes(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    found = {(place, name) for place, name, _spec in claims(manifests)}
    for manifest in manifests:
        for path, pod in pods(manifest):
            for index, volume in enumerate(at(pod, "volumes", [])):
                name = at(volume, _CLAIM)
                if name is not None and (namespace_of(manifest), name) not in found:
                    yield (
                        manifest,
                        f"{path}.volumes[{index}] names a claim that is not in its namespace; create it there",
                    )


def _named(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """Yield each class that an object names: where, of which kind, and its name."""
    if at(manifest, "kind") == "PersistentVolumeClaim":
        yield "spec.storageClassName", "StorageClass", at(manifest, "spec.storageClassName", "")
    if at(manifest, "kind") == "StatefulSet":
        for index, template in enumerate(at(manifest, "spec.volumeClaimTemplates", [])):
            path = f"spec.volumeClaimTemplates[{index}].spec.storageClassName"
            yield path, "StorageClass", at(template, "spec.storageClassName", "")
    for path, pod in pods(manifest):
        yield f"{path}.priorityClassName", "PriorityClass", at(pod, "priorityClassName", "")
        yield f"{path}.runtimeClassName", "RuntimeClass", at(pod, "runtimeClassName", "")
        for index, volume in enumerate(at(pod, "volumes", [])):
            name = at(volume, "ephemeral.volumeClaimTemplate.spec.storageClassName", "")
            yield f"{path}.volumes[{index}]", "StorageClass", name


def _names_classes(manifest: Manifest) -> bool:
    return any(name for _path, _kind, name in _named(manifest))


def _classes(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    of_class = kinds("StorageClass", "PriorityClass", "RuntimeClass")
    found = {(at(each, "kind"), at(each, "metadata.name", "")) for each in manifests if of_class(each)}
    for manifest in manifests:
        for path, kind, name in _named(manifest):
            if name and (kind, name) not in found and name not in _BUILT_IN.get(kind, ()):
                yield manifest, f"{path} names a {kind} that is not of the stack; create it, or name one that is"


REFERENCE_RULES = (
    StackRule(
        name="workload-configuration-exists",
        description="The ConfigMaps and Secrets that pods need are there, and what can be known before has the keys that they name.",
        why="A pod that is moved to another node at night waits for ever for a Secret that somebody renamed by day.",
        box="recovery",
        severity="medium",
        controls=("kube-linter:env-value-from",),
        about=has_pods,
        check=_configuration,
    ),
    StackRule(
        name="workload-claim-exists",
        description="The claims that pods mount are there.",
        why="A pod whose claim has another name stays pending, and the data seems to be lost.",
        box="recovery",
        severity="medium",
        about=_claims_volumes,
        check=_volumes,
    ),
    StackRule(
        name="workload-class-exists",
        description="The classes that volumes and pods name are those of the stack.",
        why="A volume of a class that this cluster does not have is never made; a priority that is not there refuses every pod.",
        box="recovery",
        severity="low",
        controls=("kube-linter:priority-class-name",),
        about=_names_classes,
        check=_classes,
    ),
)
