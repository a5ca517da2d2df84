"""What the judges find and the platform keeps, with the reason: `waivers.yaml`.

What a check is mapped to is not said there: a rule names the checks it stands for among its controls, as `checkov:CKV_K8S_16`.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

from policies.rule import AnyRule
from policies.rules import RULES

FILE = Path(__file__).parent / "waivers.yaml"
JUDGES = ("checkov", "kube-score")
"""Those whose checks are mapped. What the others find is that an object is none, which nothing waives."""


class Waiver(BaseModel):
    """A finding that is kept: by all objects, or by those that are named."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    objects: Sequence[str] = ()
    reason: str = Field(min_length=30)

    def of(self, check: str, resource: str) -> bool:
        """Tell whether it is about a finding; what the program lets the engine name ends in `-auto` when it is rendered."""
        return check == self.check and (not self.objects or resource.removesuffix("-auto") in self.objects)


class Disputed(BaseModel):
    """Cases that our rule passes and the judge does not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    rule: str
    cases: Sequence[str]
    reason: str = Field(min_length=30)


class Waivers(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prod: Sequence[Waiver]
    fixtures: Sequence[Disputed]


@cache
def waivers() -> Waivers:
    """Return the file's content."""
    return Waivers.model_validate(yaml.safe_load(FILE.read_text()))


def mapped(check: str) -> list[AnyRule]:
    """Return the rules that stand for a check, as `checkov:CKV_K8S_16`."""
    return [rule for rule in RULES if check in rule.controls]
