"""What a preview or a refresh says would change."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One resource that differs or would change: the operation, as in "update", and which of its properties."""

    operation: str
    urn: str
    properties: tuple[str, ...]


def changes_in(shown: str) -> list[Change]:
    """Return the changes in the engine's JSON."""
    steps: list[dict[str, Any]] = json.loads(shown).get("steps") or []
    return [
        Change(step["op"], step["urn"], tuple(sorted(step.get("detailedDiff") or ())))
        for step in steps
        if step["op"] not in ("same", "refresh")  # a refresh that found no difference
    ]
