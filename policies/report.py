"""Judge a stack's rendered objects without a cluster or the engine: `python -m policies.report STACK DIRECTORY`.

One line for each rule that is broken; with POLICY_REPORTS=DIRECTORY also SARIF, JUnit, JSON and Markdown there. The exit code is 1
if a rule is broken that is mandatory for the stack, 0 if none is, 2 if the pack or the rendered files cannot be read.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import cast

import yaml

from policies import formats, levels
from policies.formats.lines import lines
from policies.judge import Stack
from policies.plain import plain
from policies.rule import Manifest
from policies.verdict import Verdict, verdict


def report(
    stack: str, manifests: Sequence[Manifest], directory: Path = levels.HERE, day: date | None = None
) -> tuple[list[str], int]:
    """Return the lines to show and the exit code."""
    found = _judged(stack, manifests, directory, day)
    return lines(found), int(found.refused)


def _judged(
    stack: str, manifests: Sequence[Manifest], directory: Path = levels.HERE, day: date | None = None
) -> Verdict:
    return verdict(stack, Stack([(plain(manifest), "") for manifest in manifests]), directory, day)


def _rendered(directory: Path) -> list[Manifest]:
    files = sorted(directory.rglob("*.yaml"))
    if not files:
        raise levels.PackError(f"{directory}: no rendered objects")
    return [_manifest(file) for file in files]


def _manifest(file: Path) -> Manifest:
    read = yaml.load(file.read_text(), yaml.CSafeLoader)
    if not isinstance(read, dict):
        raise levels.PackError(f"{file}: no Kubernetes object; render the stack anew")
    return cast("Manifest", read)


def main() -> int:
    """Read, judge, print and write."""
    stack, directory = sys.argv[1:]
    try:
        found = _judged(stack, _rendered(Path(directory)))
        if place := os.environ.get("POLICY_REPORTS"):
            formats.write(found, place)
    except (levels.PackError, OSError, yaml.YAMLError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception:  # noqa: BLE001 - what fails in the pack itself must not look like a breach
        traceback.print_exc()
        return 2
    print("\n".join(lines(found)))
    return int(found.refused)


if __name__ == "__main__":
    sys.exit(main())
