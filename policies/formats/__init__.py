"""A verdict, written for who reads it: one module for each format, one file of each where POLICY_REPORTS says."""

from collections.abc import Callable, Mapping
from pathlib import Path

from policies.formats import data, junit, sarif, summary
from policies.verdict import Verdict

FORMATS: Mapping[str, Callable[[Verdict], str]] = {
    "policy.sarif": sarif.text,
    "policy.junit.xml": junit.text,
    "policy.json": data.text,
    "policy.md": summary.text,
}
_ROOT = Path(__file__).parents[2]


def write(verdict: Verdict, place: str) -> None:
    """Write one file of each format in a directory, named from the root of the repository wherever the pack runs."""
    directory = _ROOT / place
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in FORMATS.items():
        (directory / name).write_text(text(verdict), encoding="utf-8")
