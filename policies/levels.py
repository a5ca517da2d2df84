"""How strict each stack is: `levels.STACK.json` says for each severity whether a breach stops a run, warns, or is not looked for.

A rule's own name in the file says it for that rule.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

Level = Literal["disabled", "advisory", "mandatory"]
LEVELS: tuple[Level, ...] = ("disabled", "advisory", "mandatory")  # from the weakest to the strictest
SEVERITIES = ("low", "medium", "high", "critical")
STRICTEST = "prod"
HERE = Path(__file__).parent


class PackError(Exception):
    """A file of the pack is wrong; the text names the file, the key, and what would be right."""


def levels(stack: str, rules: Mapping[str, str], directory: Path = HERE) -> Mapping[str, Level]:
    """Return the level of each rule, given its severity, for a stack; one without a file of its own is held to what prod is.

    Raises PackError for a file that leaves a severity out, names a rule that there is not, or says another word.
    """
    file = directory / f"levels.{stack}.json"
    if not file.exists():
        file = directory / f"levels.{STRICTEST}.json"
    try:
        read = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise PackError(f"{file.name}: {error}") from None
    if not isinstance(read, dict):
        raise PackError(f'{file.name}: write {{"RULE": "LEVEL", …}}')
    given = cast("dict[str, Any]", read)
    known = [*SEVERITIES, *rules]
    wrong = [f"{file.name}: {name}: no such rule{_meant(name, known)}" for name in given if name not in known]
    wrong += [
        f"{file.name}: {name}: missing; give it one of {', '.join(LEVELS)}" for name in SEVERITIES if name not in given
    ]
    wrong += [
        f"{file.name}: {name}: {level!r}: no such level; the levels are {', '.join(LEVELS)}"
        for name, level in given.items()
        if level not in LEVELS
    ]
    if wrong:
        raise PackError("\n".join(wrong))
    return {name: given.get(name, given[severity]) for name, severity in rules.items()}


def _meant(name: str, rules: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, rules, n=1)
    return f"; did you mean {close[0]}?" if close else ""
