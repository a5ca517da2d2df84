"""The rules as policies of the SDK: one for each, at the level the stack has for it, and two that keep the exemptions honest."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, cast

from pulumi_policy import (
    EnforcementLevel,
    Policy,
    ReportViolation,
    ResourceValidationArgs,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)

from policies import exemptions, levels, links, sdk
from policies.judge import Finding, judge, judge_all, judge_registered
from policies.rule import AnyRule, Plain, ProgramRule, Rule, StackRule
from policies.rules import RULES


def policies(
    stack: str,
    rules: Sequence[AnyRule] = RULES,
    *,
    directory: Path = levels.HERE,
    today: Callable[[], date] = exemptions.today,
) -> list[Policy]:
    """Return the pack for a stack; raise PackError if one of its files in `directory` is wrong."""
    severities = {rule.name: rule.severity for rule in (*RULES, *rules)}
    pack = _Pack(
        stack,
        rules,
        directory,
        severities,
        levels.levels(stack, severities, directory),
        exemptions.load(stack, severities, directory / exemptions.FILE.name),
        today,
    )
    sdk.read_once()
    return [*(pack.policy(rule) for rule in rules), *pack.on_exemptions()]


@dataclass(frozen=True, slots=True)
class _Pack:
    stack: str
    rules: Sequence[AnyRule]
    directory: Path
    severities: Mapping[str, str]
    levels: Mapping[str, levels.Level]
    exempted: Sequence[exemptions.Exemption]
    today: Callable[[], date]

    def policy(self, rule: AnyRule) -> Policy:
        described: dict[str, Any] = {
            "enforcement_level": EnforcementLevel(self.levels[rule.name]),
            "severity": Severity(rule.severity),
            "tags": [f"box:{rule.box}", *rule.controls],
            "url": links.address(rule),
        }
        if isinstance(rule, StackRule):
            return StackValidationPolicy(rule.name, rule.description, self._on_stack(rule), **described)
        validate = self._on_registered(rule) if isinstance(rule, ProgramRule) else self._on_resource(rule)
        return sdk.ResourcePolicy(rule, validate, **described)

    def on_exemptions(self) -> list[Policy]:
        """Return what shows each breach that is suppressed, and what refuses an exemption that may be none."""
        return [
            StackValidationPolicy(
                "exempted", "Breaches that are allowed for a while.", self._shown, EnforcementLevel.ADVISORY
            ),
            StackValidationPolicy(
                "exemptions", "Exemptions are needed, approved and in force.", self._kept, EnforcementLevel.MANDATORY
            ),
        ]

    def _on_resource(self, rule: Rule) -> sdk.Validation:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            if sdk.is_object(args):
                for finding in self._open(judge(rule, cast("Plain", args.props), args.resource_type)):
                    report(finding.message, None)

        return validate

    def _on_registered(self, rule: ProgramRule) -> sdk.Validation:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            for finding in self._open(judge_registered(rule, sdk.registered(args))):
                report(finding.message, None)

        return validate

    def _on_stack(self, rule: StackRule) -> Callable[[StackValidationArgs, ReportViolation], None]:
        def validate(args: StackValidationArgs, report: ReportViolation) -> None:
            for finding in self._open(sdk.stack(args).judge(rule)):
                report(f"{finding.resource}: {finding.message}", None)

        return validate

    def _shown(self, args: StackValidationArgs, report: ReportViolation) -> None:
        shown = dict[tuple[str, str], list[str]]()  # what breaks a rule for the same reason is one line
        for finding in self._of_exempted(args):
            if exemption := exemptions.suppressed(finding, self.exempted, self.today()):
                until = f"until {exemption.expires} by {exemption.approver}: {exemption.reason}"
                shown.setdefault((finding.rule, until), []).append(f"{finding.resource}: {finding.message}")
        for (rule, until), breaches in shown.items():
            report(f"{rule} ({self.severities[rule]}): {'; '.join(breaches)} (exempted {until})", None)

    def _kept(self, args: StackValidationArgs, report: ReportViolation) -> None:
        for finding in exemptions.complaints(self.exempted, self._of_exempted(args), self.today()):
            report(f"{finding.resource}: {finding.message}", None)
        if place := os.environ.get("POLICY_REPORTS"):
            from policies import formats, verdict  # noqa: PLC0415 - no run without reports waits for what writes them

            told = verdict.verdict(self.stack, sdk.stack(args), self.directory, self.today(), self.rules)
            formats.write(told, place)

    def _of_exempted(self, args: StackValidationArgs) -> list[Finding]:
        """Return the breaches of the rules that have an exemption, all of them: the others need not be judged again."""
        wanted = {exemption.rule for exemption in self.exempted}
        rules = [rule for rule in self.rules if rule.name in wanted]
        return judge_all(rules, sdk.stack(args)) if wanted else []

    def _open(self, findings: Sequence[Finding]) -> list[Finding]:
        return [found for found in findings if not exemptions.suppressed(found, self.exempted, self.today())]
