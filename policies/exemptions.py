"""What is allowed to break a rule for a while: `exemptions.yaml` says which object, why, who answers for it and until when.

An exempted breach is looked for all the same and shown as suppressed. An exemption that has expired or is for longer than half a
year ahead, that nobody but its owner approved, or that nothing needs any more, is a breach itself.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import yaml

from policies.judge import Finding
from policies.levels import HERE, PackError

FILE = HERE / "exemptions.yaml"
LONGEST = timedelta(days=180)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """One object that may break one rule on some stacks, through the day on which this expires (UTC)."""

    rule: str
    resource: str
    stacks: tuple[str, ...]
    reason: str
    owner: str
    approver: str
    expires: date

    @property
    def approved(self) -> bool:
        """Whether somebody else than its owner approved it."""
        return bool(self.approver) and self.approver != self.owner

    def too_long(self, today: date) -> bool:
        """Return whether it would outlast the next review."""
        return self.expires - today > LONGEST

    def holds(self, today: date) -> bool:
        """Return whether it is in force."""
        return self.approved and today <= self.expires and not self.too_long(today)

    def covers(self, finding: Finding) -> bool:
        """Return whether it is about this breach."""
        return (finding.rule, finding.resource) == (self.rule, self.resource)


def today() -> date:
    """Return the day by which exemptions expire, the same wherever the pack runs."""
    return datetime.now(UTC).date()


def load(stack: str, rules: Collection[str], file: Path = FILE) -> list[Exemption]:
    """Return the exemptions of a stack; raise PackError, with the entry and the key, if any entry of the file is wrong."""
    try:
        read = yaml.load(file.read_text(), yaml.CSafeLoader)
    except (OSError, yaml.YAMLError) as error:
        raise PackError(f"{file.name}: {error}") from None
    if not isinstance(read, list):
        raise PackError(f"{file.name}: write a list, [] for none")
    found = [_exemption(file, index, entry, rules) for index, entry in enumerate(cast("list[Any]", read))]
    return [exemption for exemption in found if stack in exemption.stacks]


def suppressed(finding: Finding, exemptions: Sequence[Exemption], day: date) -> Exemption | None:
    """Return the exemption in force for a breach."""
    return next((found for found in exemptions if found.covers(finding) and found.holds(day)), None)


def complaints(exemptions: Sequence[Exemption], findings: Sequence[Finding], day: date) -> Iterator[Finding]:
    """Yield what is wrong with the exemptions themselves, given all that the rules find in the stack."""
    for exemption in exemptions:
        about = f"exemptions.yaml: {exemption.rule}"
        if not exemption.approved:
            yield Finding(
                "exemptions", exemption.resource, f"{about}: not approved; set approver to someone but its owner"
            )
        if exemption.too_long(day):
            yield Finding(
                "exemptions",
                exemption.resource,
                f"{about}: expires more than {LONGEST.days} days ahead; set expires to {day + LONGEST} or earlier",
            )
        if day > exemption.expires:
            yield Finding(
                "exemptions",
                exemption.resource,
                f"{about}: expired on {exemption.expires}; correct the object and remove this",
            )
        if not any(exemption.covers(finding) for finding in findings):
            yield Finding(
                "exemptions", exemption.resource, f"{about}: stale, nothing breaks the rule there; remove this"
            )


def _exemption(file: Path, index: int, entry: Any, rules: Collection[str]) -> Exemption:
    where = f"{file.name}: [{index}]"
    if not isinstance(entry, dict):
        raise PackError(f"{where}: write rule, resource, stacks, reason, owner, approver and expires")
    given = cast("dict[str, Any]", entry)
    keys = [field.name for field in fields(Exemption)]
    for key in given:
        if key not in keys:
            raise PackError(f"{where}.{key}: unknown key; the keys are {', '.join(keys)}")
    for key in keys:
        # An approver may be missing as long as nobody approved; then nothing is suppressed, and the run is refused.
        wanted = {"stacks": list, "expires": date}.get(key, str)
        value = given.get(key, "" if key == "approver" else None)
        if not isinstance(value, wanted) or isinstance(value, datetime) or not (value or key == "approver"):
            raise PackError(f"{where}.{key}: write a {'day, as 2027-04-30' if wanted is date else wanted.__name__}")
    if given["rule"] not in rules:
        raise PackError(f"{where}.rule: {given['rule']}: no such rule")
    values: dict[str, Any] = {"approver": "", **given, "stacks": tuple(given["stacks"])}
    return Exemption(**values)
