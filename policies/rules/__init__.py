"""The rules: pure functions over one resource's plain properties, importable without the SDK's server."""

from policies.rules.pods import POD_RULES
from policies.rules.rule import Rule

RULES: tuple[Rule, ...] = (*POD_RULES,)

__all__ = ["RULES", "Rule"]
