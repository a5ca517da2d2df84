"""The rules: pure functions over plain data, importable without the SDK's server."""

from policies.rules.network import NETWORK_RULES
from policies.rules.pods import POD_RULES
from policies.rules.rule import Rule, StackRule

RULES: tuple[Rule | StackRule, ...] = (*POD_RULES, *NETWORK_RULES)

__all__ = ["RULES", "Rule", "StackRule"]
