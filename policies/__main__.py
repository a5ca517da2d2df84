"""The policy pack, assembled. Nothing imports this file: the pack's constructor serves the engine and never returns."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the engine starts the pack with only this folder importable

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)

from policies.plain import plain
from policies.rules import RULES, Rule


def _policy(rule: Rule) -> ResourceValidationPolicy:
    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if not args.resource_type.startswith("kubernetes:"):
            args.not_applicable("not a Kubernetes object")
        for message in rule.check(plain(args.props)):
            report(message, None)

    return ResourceValidationPolicy(name=rule.name, description=rule.description, validate=validate)


PolicyPack("platform", [_policy(rule) for rule in RULES], enforcement_level=EnforcementLevel.MANDATORY)
