"""Recovery: what may be lost is declared, a restore is tried, and what it takes is not lost with what it is for."""

from collections.abc import Iterator, Sequence

from policies.backends import behind
from policies.durations import seconds
from policies.permissions import users
from policies.recovery import (
    NOT_NEEDED,
    OF,
    POINT,
    ROLE,
    gap,
    has_claim,
    jobs,
    keeps_data,
    kept,
    named,
    recovering,
    said,
)
from policies.rule import Manifest, StackRule, at, identity
from policies.secrets import uses

_MONTH = 30 * 86400


def _declared(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for keeper in kept(manifests):
        point, reason = said(keeper, POINT), said(keeper, NOT_NEEDED)
        if not point and len(reason.split()) <= 1:
            fix = f"say it in {POINT}, as 6h, or in {NOT_NEEDED} why nothing of it is missed"
            yield keeper, f"metadata.annotations does not say how much may be lost; {fix}"
        if point and reason:
            yield (
                keeper,
                f"metadata.annotations says both that it needs no backup and what may be lost; remove {POINT} or it",
            )
        if point and seconds(point) == 0:
            yield keeper, f"metadata.annotations.{POINT} is nothing, which no backup can hold; say what may be lost"


def _backed_up(manifest: Manifest) -> bool:
    return recovering(manifest) and said(manifest, ROLE) == "backup"


def _drilled(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for keeper in kept(manifests):
        if jobs(keeper, manifests, "backup"):
            drills = jobs(keeper, manifests, "drill")
            if not drills or gap(drills) > _MONTH:
                yield (
                    keeper,
                    f"metadata.name is not restored once a month to see that it can be; add a CronJob with {ROLE}: drill",
                )


def _drill(manifest: Manifest) -> bool:
    return recovering(manifest) and said(manifest, ROLE) == "drill"


def _harmless(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for job in manifests:
        if _drill(job):
            owner = (identity(job)[0], said(job, OF))
            keepers = [each for each in manifests if keeps_data(each) and identity(each) == owner]
            if has_claim(job):
                yield job, "spec.jobTemplate mounts a volume that others use; restore into one that goes with the pod"
            if any(users(keeper) & users(job) for keeper in keepers):
                yield job, "spec.jobTemplate has the server's own account; give it one of its own"


def _no_cycle(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    for keeper in kept(manifests):
        for job in jobs(keeper, manifests, "backup", "drill"):
            for name, service in named(job, manifests):
                if name.endswith("_ENDPOINT") and at(keeper, "kind") == "StatefulSet" and behind(service, [keeper]):
                    yield job, "spec.jobTemplate puts the backup where it comes from; name another store"


def _in_the_state(manifests: Sequence[Manifest]) -> Iterator[tuple[Manifest, str]]:
    ours = {identity(each) for each in manifests if at(each, "kind") == "Secret"}
    for job in manifests:
        if recovering(job):
            for use in uses(job):
                if use.variable and use.secret not in ours:
                    fix = "have the stack make it, so that its state has it too"
                    yield job, f"spec.jobTemplate needs a Secret that is in this cluster only, and lost with it; {fix}"


RECOVERY_RULES = (
    StackRule(
        name="recovery-point-declared",
        description="Everything with volumes says how much of it may be lost, or that nothing of it is missed.",
        why="Nobody can tell whether a schedule is good enough if nobody said for what.",
        box="recovery",
        severity="high",
        about=keeps_data,
        check=_declared,
    ),
    StackRule(
        name="recovery-drill",
        description="What is backed up is restored, to see that it can be, at least once in 30 days.",
        why="A backup that was never restored is a hope: a wrong key or a missing piece shows on the day it is needed.",
        box="recovery",
        severity="high",
        about=_backed_up,
        check=_drilled,
    ),
    StackRule(
        name="recovery-drill-apart",
        description="A drill restores into a volume of its own, under an account of its own.",
        why="A drill that can reach what serves can overwrite it.",
        box="recovery",
        severity="medium",
        about=_drill,
        check=_harmless,
    ),
    StackRule(
        name="recovery-no-cycle",
        description="A backup is not kept by what it is a backup of.",
        why="The loss of the one is then the loss of the other.",
        box="recovery",
        severity="high",
        about=_backed_up,
        check=_no_cycle,
    ),
    StackRule(
        name="recovery-secrets-in-state",
        description="The keys that a restore takes are made by the stack, and so are in its state too.",
        why="A key that was only in the cluster is lost with it, and every backup is noise.",
        box="recovery",
        severity="high",
        about=recovering,
        check=_in_the_state,
    ),
)
