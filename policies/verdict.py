"""What the pack says of a whole stack: each breach at its level, and with the exemption that suppresses it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from policies import exemptions, levels
from policies.judge import Finding, Stack, judge_all
from policies.plain import objects
from policies.rule import AnyRule, Described, Manifest, ProgramRule
from policies.rules import RULES
from policies.rules.coverage import judged

EXEMPTIONS = Described(
    name="exemptions",
    description="Exemptions are needed, approved and in force, and none is for longer than half a year.",
    why="An exemption that nobody looks at again is a rule that does not exist.",
    box="compliance-reporting",
    severity="critical",
)
"""What is wrong with the exemptions themselves, told as a rule: it has no level of its own to be weakened."""


@dataclass(frozen=True, slots=True)
class Breach:
    """One breach, how strict the stack is with it, and the exemption in force for it."""

    rule: Described
    finding: Finding
    level: levels.Level
    exemption: exemptions.Exemption | None

    @property
    def refuses(self) -> bool:
        """Whether it stops a run."""
        return self.level == "mandatory" and self.exemption is None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all rules say of a stack: in the order of the rules, those with nothing to judge and those not looked for too."""

    stack: str
    objects: int
    rules: Sequence[Described]
    levels: Mapping[str, levels.Level]
    judged: Mapping[str, int]
    breaches: Sequence[Breach]

    @property
    def refused(self) -> bool:
        """Whether a run of the stack is stopped."""
        return any(breach.refuses for breach in self.breaches)

    def of(self, rule: Described) -> list[Breach]:
        """Return the breaches of a rule."""
        return [breach for breach in self.breaches if breach.finding.rule == rule.name]


def verdict(
    stack: str,
    resources: Stack,
    directory: Path = levels.HERE,
    day: date | None = None,
    rules: Sequence[AnyRule] = RULES,
) -> Verdict:
    """Judge the resources of a stack; raise PackError if one of the pack's files is wrong.

    Where nothing is known of what only the engine sees, an exemption for that is not stale.
    """
    severities = {rule.name: rule.severity for rule in (*RULES, *rules)}
    level: dict[str, levels.Level] = {
        **levels.levels(stack, severities, directory),
        EXEMPTIONS.name: "mandatory",
    }
    day = day or exemptions.today()
    exempted = exemptions.load(stack, severities, directory / exemptions.FILE.name)
    if resources.registered is None:
        unseen = {rule.name for rule in rules if isinstance(rule, ProgramRule)}
        exempted = [exemption for exemption in exempted if exemption.rule not in unseen]
    found = judge_all(rules, resources)
    manifests = list(_objects(resources.resources))
    named = {rule.name: rule for rule in (*rules, EXEMPTIONS)}
    breaches = [
        Breach(named[each.rule], each, level[each.rule], exemptions.suppressed(each, exempted, day))
        for each in [*found, *exemptions.complaints(exempted, found, day)]
    ]
    return Verdict(
        stack,
        len(manifests),
        tuple(named.values()),
        level,
        {**judged(rules, manifests, resources.registered or ()), EXEMPTIONS.name: len(exempted)},
        [breach for breach in breaches if breach.level != "disabled"],
    )


def _objects(resources: Sequence[tuple[Manifest, str]]) -> Iterator[Manifest]:
    """Yield each object, to count them; what is of no kind that can be read is one."""
    for properties, token in resources:
        try:
            yield from [manifest for _path, manifest in objects(properties, token)]
        except Exception:  # noqa: BLE001 - each rule says that this cannot be judged
            yield properties
