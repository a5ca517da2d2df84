"""Backups: of everything, often enough, encrypted with a key that the store has not, and removed by nobody but their own Job."""

import re
from collections.abc import Iterator, Sequence

from policies.backends import behind
from policies.durations import seconds
from policies.permissions import ROLES, Permissions, of_rbac, users
from policies.powers import held, power
from policies.recovery import (
    NOT_NEEDED,
    OF,
    POINT,
    ROLE,
    gap,
    jobs,
    keeps_data,
    kept,
    lost,
    named,
    recovering,
    said,
    variables,
)
from policies.rule import Admission, Manifest, Rule, StackRule, at, identity
from policies.schedules import longest_gap
from policies.secrets import Place, uses

_ROLES = ("backup", "snapshot", "drill", "restore")
_KEY = "ENCRYPTION_KEY"
_KEYS = (_KEY, "CIPHER_PASS")  # as pgBackRest calls it
_WEEK = 7 * 86400
_REMOVES = (power("delete deletecollection", "snapshot.storage.k8s.io", "volumesnapshots volumesnapshotcontents"),)


def _covered(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for keeper in kept(manifests):
        if len(said(keeper, NOT_NEEDED).split()) > 1:
            continue
        found = jobs(keeper, manifests, "backup")
        if not found:
            fix = f"add a CronJob with {ROLE}: backup and {OF}, or say in {NOT_NEEDED} why it needs none"
            yield keeper, f"metadata.name has no backup; {fix}"
        for job in found:
            if at(keeper, "kind") == "StatefulSet" and not any(
                behind(service, [keeper]) for _name, service in named(job, manifests)
            ):
                yield (
                    job,
                    f"metadata.annotations.{OF} is of what it never connects to; tell it the server by a variable",
                )


def _runs(manifest: Manifest) -> Iterator[str]:
    if said(manifest, ROLE) not in _ROLES or not said(manifest, OF):
        yield f"metadata.annotations.{ROLE} is none of {', '.join(_ROLES)}, or {OF} is missing; set both"
    try:
        longest_gap([at(manifest, "spec.schedule")])
    except ValueError:
        yield "spec.schedule never comes; write five fields, as 0 1 * * 0"
    if not at(manifest, "spec.timeZone"):
        yield "spec.timeZone is left to the node; set it to Etc/UTC"
    if at(manifest, "spec.suspend", default=False) and said(manifest, ROLE) != "restore":
        yield "spec.suspend is true, so it never runs; take it away"
    if at(manifest, "spec.concurrencyPolicy", "Allow") != "Forbid":
        yield "spec.concurrencyPolicy lets a second one begin before the first has ended; set it to Forbid"


def _promised(manifest: Manifest) -> bool:
    return keeps_data(manifest) and bool(said(manifest, POINT))


def _often(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for keeper in kept(manifests):
        if _promised(keeper):
            most = lost(keeper, manifests)
            if most is None or most > seconds(said(keeper, POINT)):
                fix = "take backups more often, or declare what may be lost"
                yield keeper, f"metadata.annotations.{POINT} is less than what lies between two backups; {fix}"


def _backs_up(manifest: Manifest) -> bool:
    return recovering(manifest) and said(manifest, ROLE) == "backup"


def _keys(manifest: Manifest) -> set[tuple[Place, str]]:
    """Return each Secret, with the key in it, that an object's pods take as the key of backups: by the name that they have for it."""
    return {
        (use.secret, key)
        for use in uses(manifest)
        for key, name in use.keys.items()
        if re.sub(r"\W", "_", name).upper().endswith(_KEYS)
    }


def _has_key(manifest: Manifest, known: set[tuple[Place, str]]) -> bool:
    """Return whether an object's pods can read one of these, by whatever name, or with all else in the Secret."""
    return any(
        use.secret == secret and (not use.keys or key in use.keys) for use in uses(manifest) for secret, key in known
    )


def _encrypted(manifest: Manifest) -> Iterator[str]:
    if not _keys(manifest):
        yield f"spec.jobTemplate has no key, so whoever keeps the backup reads it; take a variable …{_KEY} from a Secret"


def _apart(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    mine = [each for each in manifests if recovering(each)]
    owners = {(identity(job)[0], said(job, OF)) for job in mine}
    keepers = [each for each in manifests if keeps_data(each) and identity(each) in owners]
    allowed = {user for each in (*mine, *keepers) for user in users(each)}
    stores = [service for job in mine for name, service in named(job, manifests) if name.endswith("_ENDPOINT")]
    known = {key for manifest in manifests for key in _keys(manifest)}
    for manifest in manifests:
        if _has_key(manifest, known):
            if any(behind(store, [manifest]) for store in stores):
                yield manifest, "spec.template has the key of the backups that it keeps; take it away"
            elif not users(manifest) <= allowed:
                yield manifest, "spec.template has the key of backups, but neither takes nor restores any; take it away"


def _removing(manifest: Manifest) -> bool:
    """Return whether a role may remove snapshots."""
    return of_rbac(manifest, *ROLES) and any(any(held(rule, _REMOVES)) for rule in at(manifest, "rules", []))


def _own_jobs_only(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    mine = [each for each in manifests if recovering(each) and said(each, ROLE) == "snapshot"]
    allowed = {user for job in mine for user in users(job)}
    for subject, grant, _power in Permissions(manifests).having(_REMOVES):
        if grant.namespace is None or subject not in allowed:
            fix = "leave that to the account of the Job that takes them, in its namespace"
            yield grant.binding, f"subjects may remove snapshots, which an intruder does first; {fix}"


def _copying(manifest: Manifest) -> bool:
    return recovering(manifest) and said(manifest, ROLE) in ("backup", "snapshot")


def _numbers(job: Manifest) -> list[int]:
    return [int(value) for name, value in variables(job) if "KEEP" in name.split("_")]


def _long_enough(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for job in manifests:
        if _copying(job) and min(_numbers(job), default=0) <= 1:
            yield job, "spec.jobTemplate keeps the newest only, or does not say how many; set its variable KEEP to more"
    for keeper in kept(manifests):
        found = jobs(keeper, manifests, "backup")
        if found and max(min(_numbers(job), default=0) * gap([job]) for job in found) < _WEEK:
            yield keeper, "metadata.name has no backup from before last week; keep more of them"


BACKUP_RULES = (
    StackRule(
        name="backup-covers-volumes",
        description="Everything with volumes is backed up by a CronJob that connects to it, or says why it needs no backup.",
        why="What nobody thought of is what is missing on the day when all volumes are gone, or encrypted by somebody else.",
        box="backup-encryption",
        severity="critical",
        about=keeps_data,
        check=_covered,
    ),
    Rule(
        name="backup-schedule-runs",
        description="A CronJob for backups has a schedule that comes, in a named time zone, one run at a time.",
        why="A schedule that never comes fails no Job and raises no alarm.",
        box="backup-encryption",
        severity="high",
        about=recovering,
        check=_runs,
    ),
    StackRule(
        name="backup-often-enough",
        description="Between two backups, or two pieces of the log that is archived, lies no more than what may be lost.",
        why="Whoever was promised an hour loses a day.",
        box="backup-encryption",
        severity="high",
        about=_promised,
        check=_often,
    ),
    Rule(
        name="backup-encrypted",
        description="Backups are encrypted by whoever takes them, with a key from a Secret.",
        why="The store, and whoever copies its disk, has all data in one place and without any login.",
        box="backup-encryption",
        severity="critical",
        about=_backs_up,
        check=_encrypted,
        admission=Admission(
            resources=("batch/cronjobs",),
            parts=("metadata.annotations",),
            expressions=(
                f"""object.metadata.?annotations[?'{ROLE}'].orValue('') != 'backup' ||
                    variables.containers.exists(each, each.?env.orValue([]).exists(variable,
                        variable.name.endsWith('{_KEY}') &&
                        variable.?valueFrom.?secretKeyRef.?name.orValue('') != ''))""",
            ),
        ),
    ),
    StackRule(
        name="backup-key-apart",
        description="The key of backups is known to what takes and restores them and to the server itself, not to the store or others.",
        why="With the key beside what it opens, backups are as good as plain; an application that has it opens all of them.",
        box="backup-encryption",
        severity="critical",
        about=lambda manifest: bool(_keys(manifest)),
        check=_apart,
    ),
    StackRule(
        name="backup-removed-by-its-job",
        description="Nobody but the account that takes snapshots may remove any.",
        why="Who wants a ransom removes what could be restored before anything else.",
        box="backup-encryption",
        severity="high",
        about=_removing,
        check=_own_jobs_only,
    ),
    StackRule(
        name="backup-kept",
        description="More than the newest copy is kept, and of backups one from before a week.",
        why="Damage that is noticed after some days is in every copy by then.",
        box="backup-encryption",
        severity="medium",
        about=_copying,
        check=_long_enough,
    ),
)
