"""Judge a stack's rendered objects without a cluster or the engine: `python -m policies.report STACK DIRECTORY`.

One line for each rule that is broken. The exit code is 1 if one of them is mandatory for the stack, 0 if none is, 2 if the pack
or the rendered files cannot be read.
"""

import sys
import traceback
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import cast

import yaml

from policies import exemptions, levels
from policies.judge import Finding, judge_all
from policies.plain import plain
from policies.rule import Manifest
from policies.rules import RULES

_SHOWN = 3
_OWN: dict[str, levels.Level] = {"exemptions": "mandatory", "exempted": "advisory"}


def report(
    stack: str, manifests: Sequence[Manifest], directory: Path = levels.HERE, day: date | None = None
) -> tuple[list[str], int]:
    """Return the lines to show and the exit code."""
    severities = {rule.name: rule.severity for rule in RULES}
    level = {**levels.levels(stack, severities, directory), **_OWN}
    day = day or exemptions.today()
    exempted = exemptions.load(stack, severities, directory / exemptions.FILE.name)
    found = judge_all(RULES, [(plain(manifest), "") for manifest in manifests])
    breaches: dict[str, list[Finding]] = {}
    for finding in [*found, *exemptions.complaints(exempted, found, day)]:
        rule = "exempted" if exemptions.suppressed(finding, exempted, day) else finding.rule
        if level[rule] != "disabled":
            breaches.setdefault(rule, []).append(finding)
    lines = [f"{level[rule]}: {rule}: {_line(findings)}" for rule, findings in breaches.items()]
    counted = f"{len(manifests)} objects, {len(RULES)} rules, {len(breaches)} broken"
    return [*lines, f"{stack}: {counted}"], int(any(level[rule] == "mandatory" for rule in breaches))


def _line(findings: Sequence[Finding]) -> str:
    shown = "; ".join(f"{finding.resource}: {finding.message}" for finding in findings[:_SHOWN])
    more = len(findings) - _SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _manifest(file: Path) -> Manifest:
    read = yaml.load(file.read_text(), yaml.CSafeLoader)
    if not isinstance(read, dict):
        raise levels.PackError(f"{file}: no Kubernetes object; render the stack anew")
    return cast("Manifest", read)


def main() -> int:
    """Read, judge, print."""
    stack, directory = sys.argv[1], Path(sys.argv[2])
    try:
        files = sorted(directory.rglob("*.yaml"))
        lines, code = report(stack, [_manifest(file) for file in files])
    except (levels.PackError, OSError, yaml.YAMLError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception:  # noqa: BLE001 - what fails in the pack itself must not look like a breach
        traceback.print_exc()
        return 2
    if not files:
        print(f"error: {directory}: no rendered objects", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return code


if __name__ == "__main__":
    sys.exit(main())
