"""What a rule is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

UNKNOWN = object()
"""Stands for a value the engine does not know yet. It equals nothing, so a rule that needs the value is not satisfied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing that must hold for every resource it applies to.

    `check` yields a message for each breach: where it is, and what to change. It reads plain data and looks at nothing
    else.
    """

    name: str
    description: str
    check: Callable[[Manifest], Iterator[str]]
