"""What keeps data, what may be lost of it, and which CronJobs bring it back: said by annotations, and held against what is done.

- `platform/recovery-point` of a StatefulSet: how much time may be lost, as `6h`;
- `platform/backup-not-needed` in its place: why nothing backs it up;
- `platform/recovers` of a CronJob: the workload beside it whose data it is about, and `platform/recovery`: what it does, a
  `backup` to somewhere else, a `snapshot` beside the volume, a `drill` of a restore, or a `restore` for when a person asks for one.
"""

from collections.abc import Callable, Iterator, Sequence

from policies.clients import Server, environment, names
from policies.containers import containers, pods
from policies.databases import archives, configuration_of, interval, patroni, run_by_patroni
from policies.rule import Manifest, at, identity, namespace_of
from policies.schedules import longest_gap

POINT, NOT_NEEDED = "platform/recovery-point", "platform/backup-not-needed"
OF, ROLE = "platform/recovers", "platform/recovery"
_CLAIMS = {"Prometheus": "spec.storage.volumeClaimTemplate", "Alertmanager": "spec.storage.volumeClaimTemplate"}


def said(manifest: Manifest, annotation: str) -> str:
    """Return what an annotation says, "" if it is not there."""
    return at(manifest, f"metadata.annotations.{annotation}", "")


def claims_of_sets(manifests: Sequence[Manifest]) -> Callable[[Manifest], bool]:
    """Return what tells whether an object is a claim that a StatefulSet has made for one of its pods."""
    begun = [
        (
            namespace_of(manifest),
            f"{at(claim, 'metadata.name')}-{at(manifest, 'metadata.name')}-",
        )
        for manifest in manifests
        if at(manifest, "kind") == "StatefulSet"
        for claim in at(manifest, "spec.volumeClaimTemplates", [])
    ]

    def of_a_set(manifest: Manifest) -> bool:
        namespace, name = identity(manifest)
        return any(namespace == there and name.startswith(start) for there, start in begun)

    return of_a_set


def keeps_data(manifest: Manifest) -> bool:
    """Return whether an object has volumes that outlive its pods: a claim, or what makes claims."""
    kind = at(manifest, "kind")
    if kind == "StatefulSet":
        return bool(at(manifest, "spec.volumeClaimTemplates", []))
    return kind == "PersistentVolumeClaim" or (kind in _CLAIMS and bool(at(manifest, _CLAIMS[kind])))


def kept(manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield each object whose data is to be brought back, or said not to be; the claims of a set are the set's."""
    of_sets = claims_of_sets(manifests)
    for manifest in manifests:
        if keeps_data(manifest) and not (at(manifest, "kind") == "PersistentVolumeClaim" and of_sets(manifest)):
            yield manifest


def recovering(manifest: Manifest) -> bool:
    """Return whether an object is a CronJob that is about some workload's data."""
    return at(manifest, "kind") == "CronJob" and bool(said(manifest, ROLE) or said(manifest, OF))


def jobs(keeper: Manifest, manifests: Sequence[Manifest], *roles: str) -> list[Manifest]:
    """Return the CronJobs in these roles that run for a workload's data."""
    namespace, name = identity(keeper)
    return [
        each
        for each in manifests
        if recovering(each)
        and (identity(each)[0], said(each, OF)) == (namespace, name)
        and said(each, ROLE) in roles
        and not at(each, "spec.suspend", default=False)
    ]


def gap(found: Sequence[Manifest]) -> int:
    """Return the most seconds between two runs of any of these CronJobs."""
    zones: dict[str, list[str]] = {}
    for each in found:
        zones.setdefault(at(each, "spec.timeZone", ""), []).append(at(each, "spec.schedule"))
    return min(longest_gap(schedules) for schedules in zones.values())


def lost(keeper: Manifest, manifests: Sequence[Manifest]) -> float | None:
    """Return the most seconds that can be lost with all of its volumes, None if all can."""
    backups = jobs(keeper, manifests, "backup")
    if not backups:
        return None
    found = configuration_of(keeper, manifests) if run_by_patroni(keeper) else None
    told = patroni(found) if found is not None else {}
    archived = archives(told) and interval(told, "archive_timeout", "s") > 0
    return min(gap(backups), interval(told, "archive_timeout", "s")) if archived else gap(backups)


def variables(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield each variable of an object's containers with the value that is written there."""
    for container in containers(manifest):
        yield from environment(container.spec).items()


def named(manifest: Manifest, manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield each variable of an object that names a Service of the stack, with that Service."""
    here = namespace_of(manifest)
    services = [(Server(*identity(each)), each) for each in manifests if at(each, "kind") == "Service"]
    for name, value in variables(manifest):
        yield from ((name, each) for server, each in services if names(server, name, value, here))


def has_claim(manifest: Manifest) -> bool:
    """Return whether an object's pods mount a claim that others may mount too."""
    return any(
        at(volume, "persistentVolumeClaim") for _path, pod in pods(manifest) for volume in at(pod, "volumes", [])
    )
