"""What the frameworks call what a rule holds: `controls.yaml`, read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import yaml

_FILE = Path(__file__).with_name("controls.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One framework, what was read of it, and its numbers, each with what it asks for.

    With `uncovered`, be it empty, no number is left out, and it says why nothing here holds some. Without, there are only those that
    rules have. Where there are `levels`, each number is of one or more.
    """

    title: str
    version: str
    read: str
    controls: Mapping[str, str]
    uncovered: Mapping[str, str] | None = None
    levels: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])


FRAMEWORKS: Mapping[str, Framework] = {
    name: Framework(**said)
    for name, said in cast("dict[str, dict[str, Any]]", yaml.safe_load(_FILE.read_text(encoding="utf-8"))).items()
}
"""By what stands before the colon in a rule's `controls`; those of `nist` are in policies.boxes.BOXES instead."""
