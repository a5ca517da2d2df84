"""Where a rule is documented: the page of its family, which is the first word of its name, and there under its own name."""

from functools import cache
from pathlib import Path

import yaml

from policies.rule import Described

_PACK = Path(__file__).with_name("PulumiPolicy.yaml")
PAGES = "docs/policies"


def page(rule: Described) -> str:
    """Return a rule's place in this repository's documentation, as `docs/policies/pod.md#pod-confined`."""
    return f"{PAGES}/{family(rule)}.md#{rule.name}"


def family(rule: Described) -> str:
    """Return the first word of a rule's name."""
    return rule.name.partition("-")[0]


def address(rule: Described) -> str:
    """Return the same as a URL, below the `website` of PulumiPolicy.yaml, for who reads a report elsewhere."""
    return f"{_website()}/{page(rule)}"


@cache
def _website() -> str:
    return str(yaml.safe_load(_PACK.read_text())["website"]).rstrip("/")
