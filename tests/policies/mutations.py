"""What breaks the platform in one place: `mutations/FAMILY.yaml` says for each rule how, and which other rules it breaks with it.

A mutation is made of

- `of` and `set`: an object of prod, as `Deployment app/api`, and what is at each path of it then, as `spec.replicas`, or
  `spec.template.spec.containers.0.image`; null takes away what is there;
- `add`: objects that prod has not;
- `remove`: objects of prod;
- `registered`: resources as a program registers them (`token`, `name`, `properties`, `options`), in place of prod's or new;
- `also`: the other rules that find it, and each has its reason.
"""

import copy
from pathlib import Path
from typing import Any, NamedTuple, cast

from policies.judge import reference
from policies.rule import Registered
from tests.policies.fixtures import Manifest, read, registered

_FILES = Path(__file__).parent / "mutations"


class Mutation(NamedTuple):
    """One change that some rules must find, and no others."""

    rule: str
    number: int
    also: tuple[str, ...]
    change: dict[str, Any]

    def apply(self, manifests: list[Manifest]) -> list[Manifest]:
        """Return the objects with the change made; those that it does not touch are the same ones."""
        gone, found = set(self.change.get("remove", [])), {reference(each): each for each in manifests}
        assert gone <= found.keys(), f"{self.rule}: prod has no {', '.join(gone - found.keys())}"
        changed = {name: each for name, each in found.items() if name not in gone}
        if place := self.change.get("of"):
            assert place in changed, f"{self.rule}: prod has no {place}"
            changed[place] = copy.deepcopy(changed[place])
            for path, value in self.change["set"].items():
                _set(changed[place], path.split("."), value)
        for added in self.change.get("add", []):
            changed[reference(added)] = added
        return list(changed.values())

    def registered(self) -> list[Registered]:
        """Return the resources that the change has registered otherwise."""
        return [registered(each) for each in self.change.get("registered", [])]


def mutations() -> list[Mutation]:
    """Return all of them."""
    all_changes: dict[str, list[dict[str, Any]]] = {}
    for file in sorted(_FILES.glob("*.yaml")):
        all_changes |= read(file)
    return [
        Mutation(rule, number, tuple(change.get("also", ())), change)
        for rule, changes in all_changes.items()
        for number, change in enumerate(changes)
    ]


def _set(value: Any, path: list[str], wanted: Any) -> None:
    key: Any = int(path[0]) if isinstance(value, list) else path[0]
    if len(path) > 1:
        if isinstance(value, dict):
            cast("Manifest", value).setdefault(key, {})
        _set(cast("Any", value)[key], path[1:], wanted)
    elif wanted is None:
        del value[key]
    else:
        value[key] = wanted
