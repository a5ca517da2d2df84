"""Scans: every image is looked through each day, and the cluster's own settings each week."""

from collections.abc import Iterator, Sequence
from typing import Any

from policies.containers import has_pods
from policies.programs import Program, of, programs
from policies.rule import Manifest, Rule, StackRule, at, namespace_of
from policies.rules.signals import missed
from policies.schedules import longest_gap

Stack = Sequence[Manifest]

_DAY, _WEEK = 86400, 7 * 86400
_SEVERITIES = ("HIGH", "CRITICAL")
_SOME_CHECKS = ("--check", "--group", "-g", "--skip")
_LABELS = ("app.kubernetes.io/part-of", "app.kubernetes.io/managed-by")
_LEAVING_OUT = (
    ("--include-kinds", "TRIVY_INCLUDE_KINDS", "kubernetes.includeKinds"),
    ("--exclude-kinds", "TRIVY_EXCLUDE_KINDS", "kubernetes.excludeKinds"),
)
_COPIED = ("PersistentVolumeClaim", "CustomResourceDefinition")
"""Kinds of which a controller or a release makes the objects as it wants them."""


def _late(program: Program, most: int) -> Iterator[tuple[Manifest, str]]:
    """Yield why a program does not run as often as it should."""
    manifest = program.of
    if at(manifest, "kind") != "CronJob":
        yield manifest, "kind is not one that runs again and again; make it a CronJob"
    elif at(manifest, "spec.suspend") is True:
        yield manifest, "spec.suspend keeps it from running; take it away"
    elif not _often(str(at(manifest, "spec.schedule", "")), most):
        yield manifest, f"spec.schedule is too seldom, or none; let it run every {most // 86400} days at least"


def _often(schedule: str, most: int) -> bool:
    try:
        return longest_gap([schedule]) <= most
    except ValueError:
        return False


def _given(program: Program, option: str, variable: str, key: str) -> set[str]:
    """Return what Trivy is told by its command line, its environment or its configuration, whichever says it first."""
    value = program.variable(variable)
    configured = at(program.file("trivy.yaml"), key, [])
    said: list[Any] = program.option(option) or ([value] if value is not None else configured)
    return {word.strip() for each in said for word in f"{each}".split(",")}


def _fresh(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "trivy"):
        yield from _late(program, _DAY)
        severities = _given(program, "--severity", "TRIVY_SEVERITY", "severity")
        if severities and not {each.upper() for each in severities} >= set(_SEVERITIES):
            yield program.of, f"args leaves out severities; let --severity hold {' and '.join(_SEVERITIES)}"
        variable, configured = (
            program.variable("TRIVY_SKIP_DB_UPDATE"),
            at(program.file("trivy.yaml"), "db.skip-update"),
        )
        if program.flag("--skip-db-update") or f"{variable}".lower() == "true" or configured is True:
            yield program.of, "args looks for what was known long ago; take away --skip-db-update"
        skipped = program.variable("TRIVY_SKIP_IMAGES"), at(program.file("trivy.yaml"), "kubernetes.skipImages")
        if program.flag("--skip-images") or any(f"{each}".lower() == "true" for each in skipped):
            yield program.of, "args looks at no image at all; take away --skip-images"
        scanners = _given(program, "--scanners", "TRIVY_SCANNERS", "scan.scanners")
        if scanners and "vuln" not in scanners:
            yield program.of, "args looks for other things than vulnerabilities; add vuln to --scanners"


def _everywhere(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    there = {namespace_of(each) for each in manifests if has_pods(each)}
    for program in programs(manifests, "trivy"):
        if not {"k8s", "kubernetes"} & set(program.arguments):
            yield program.of, "args looks through one thing alone; let it be k8s, which looks through the cluster"
        only = _given(program, "--include-namespaces", "TRIVY_INCLUDE_NAMESPACES", "kubernetes.includeNamespaces")
        out = _given(program, "--exclude-namespaces", "TRIVY_EXCLUDE_NAMESPACES", "kubernetes.excludeNamespaces")
        for namespace in sorted(there & out | (there - only if only else set[str]())):
            yield program.of, f"args leaves out the namespace {namespace}; take away what includes or excludes some"
        for option, variable, key in _LEAVING_OUT:
            if _given(program, option, variable, key) - {"", "false"}:
                yield program.of, f"args leaves out what runs somewhere; take away {option}"


def _posture(manifests: Stack) -> Iterator[tuple[Manifest, str]]:
    for program in programs(manifests, "kube-bench"):
        yield from _late(program, _WEEK)
        if not any(program.flag(form) for form in ("--json", "--junit", "--asff")):
            yield program.of, "args writes what only a person can read; add --json, for what counts the failures"
        if any(program.option(option) for option in _SOME_CHECKS):
            yield program.of, f"args leaves out checks; take away {', '.join(_SOME_CHECKS)}"
        if program.flag("--noresults") or program.flag("--nosummary"):
            yield program.of, "args leaves the results out; take away --noresults and --nosummary"
    yield from missed("kube-bench", gone=r"kube_?bench|kube-bench|kube_(cron)?job_")(manifests)


def _labelled(manifest: Manifest) -> Iterator[str]:
    labels: Manifest = at(manifest, "metadata.labels", {})
    for label in _LABELS:
        if not labels.get(label):
            yield f"metadata.labels has no {label}; add it, so that whose it is is known"


def _is_ours(manifest: Manifest) -> bool:
    kind = at(manifest, "kind", "")
    return bool(at(manifest, "apiVersion")) and kind not in _COPIED and not kind.endswith("List")


SCANNING_RULES: tuple[Rule | StackRule, ...] = (
    StackRule(
        name="scan-images",
        description="Images are looked through for severe vulnerabilities every day, with what is known that day.",
        why="An image that had none when it was built has some a month later, and nobody builds it again.",
        box="vulnerability-scanning",
        severity="high",
        about=of("trivy"),
        check=_fresh,
    ),
    StackRule(
        name="scan-all-namespaces",
        description="No namespace that has pods is left out of a scan.",
        why="The namespace that is left out because it is noisy is the one with the most to find.",
        box="vulnerability-scanning",
        severity="high",
        about=of("trivy"),
        check=_everywhere,
    ),
    StackRule(
        name="scan-posture",
        description="The cluster's own settings are compared with the benchmark every week, and somebody is told of failures.",
        why="A flag that is changed on a control plane by hand stays changed.",
        box="compliance-reporting",
        severity="medium",
        about=of("kube-bench"),
        check=_posture,
    ),
    Rule(
        name="object-labelled",
        description="Every object says which platform it is part of and what manages it.",
        why="What belongs to nobody is not looked after, and nobody dares to take it away.",
        box="compliance-reporting",
        severity="low",
        controls=("kubescape:C-0076", "kubescape:C-0077"),
        about=_is_ours,
        check=_labelled,
    ),
)
