"""What keeps data when what uses it is deleted, by whoever and for whatever reason."""

from collections.abc import Iterator, Sequence

from policies.recovery import claims_of_sets
from policies.references import claims
from policies.rule import Manifest, Rule, StackRule, at


def _has_claims(manifest: Manifest) -> bool:
    return at(manifest, "kind") == "StatefulSet" and bool(at(manifest, "spec.volumeClaimTemplates", []))


def _holds_data(manifest: Manifest) -> bool:
    return _has_claims(manifest) or at(manifest, "kind") == "PersistentVolumeClaim"


def _claims_kept(manifest: Manifest) -> Iterator[str]:
    for when in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{when}"
        if at(manifest, path, "Retain") != "Retain":
            yield f"{path} deletes the volumes with their pods; set Retain"


def _volumes_kept(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    kept = {
        at(manifest, "metadata.name", "")
        for manifest in manifests
        if at(manifest, "kind") == "StorageClass" and at(manifest, "reclaimPolicy", "Delete") == "Retain"
    }
    of_a_set = claims_of_sets(manifests)
    for manifest in manifests:
        if _holds_data(manifest):
            for _place, name, spec in claims([manifest]):
                named = at(spec, "storageClassName")
                # What only changes a set's claim, as its size, is judged with the set, however many pods the set has now.
                changed = named is None and not _has_claims(manifest) and of_a_set(manifest)
                if not changed and named not in kept:
                    yield manifest, f"spec has {name} of a class that deletes it; name one with reclaimPolicy: Retain"


DURABILITY_RULES = (
    Rule(
        name="database-claims-retained",
        description="The volumes of a StatefulSet outlive it.",
        why="A set that is deleted to be made anew, or scaled down by mistake, takes the data with it.",
        box="database-security",
        severity="high",
        about=_has_claims,
        check=_claims_kept,
    ),
    StackRule(
        name="database-volumes-retained",
        description="The disk behind a volume outlives its claim.",
        why="Who deletes a namespace deletes its claims, and with a class that deletes, the disks.",
        box="database-security",
        severity="high",
        about=_holds_data,
        check=_volumes_kept,
    ),
)
