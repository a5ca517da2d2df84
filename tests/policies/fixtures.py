"""The fixtures: `fixtures/RULE.yaml` has cases that fail, pass, and nearly fail, each a change to a compliant program.

The program is `fixtures/programs/PROGRAM.yaml`, where the file says `program: PROGRAM`, else `workload`. A change is made of

- `merge`: objects, each merged into the program's object of the same kind and name, or added; a list replaces a list;
- `without`: objects taken away, each as `Deployment app/api`;
- `rules` for the program's first role, `roleRef` and `subjects` for its first binding;
- for the Deployment of `workload`: what to change in its `container`, the `security` context of it, its `pod`; a whole
  `securityContext` for the container; other `policies` in place of the program's NetworkPolicy.

The program of a rule about registered resources is those: each has a `token`, a `name`, `properties`, and `options` as the engine
sends them. It is merged and taken away by `TOKEN NAME`.
"""

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

from policies.judge import reference
from policies.plain import plain
from policies.rule import Registered

HERE = Path(__file__).parent / "fixtures"
SORTS = ("fail", "pass", "near-miss")
_PARTS = {"rules": "Role", "roleRef": "Binding", "subjects": "Binding"}  # of which object each is

Manifest = dict[str, Any]
Path_ = tuple[str | int, ...]


class Case(NamedTuple):
    """Objects that one rule passes, or not."""

    rule: str
    sort: str
    name: str
    manifests: list[Manifest]


def compliant(program: str = "workload") -> list[Manifest]:
    """Return the objects of a program; those of `workload` no rule finds fault with."""
    return copy.deepcopy(_program(program))


@cache
def _program(name: str) -> list[Manifest]:
    return list(yaml.load_all((HERE / "programs" / f"{name}.yaml").read_text(), yaml.CSafeLoader))


def read(file: Path) -> Any:
    """Return what is in a file; there are hundreds, which the parser in Python takes several times as long for."""
    return yaml.load(file.read_text(), yaml.CSafeLoader)


def written(rule: str) -> dict[str, Any]:
    """Return the file of a rule's cases as it is; nothing if it has none."""
    file = HERE / f"{rule}.yaml"
    return read(file) if file.exists() else {}


def cases(rule: str) -> list[Case]:
    """Return the cases of a rule; none if it has no file."""
    sorts = written(rule)
    program = sorts.pop("program", "workload")
    return [
        Case(rule, sort, name, _changed(compliant(program), change))
        for sort in sorts
        for name, change in sorts[sort].items()
    ]


def registered(resource: Manifest) -> Registered:
    """Return a resource of such a program as a rule reads it."""
    options = resource.get("options", {})
    return Registered(
        token=resource["token"],
        name=resource["name"],
        properties=plain(resource["properties"]),
        protect=options.get("protect", False),
        delete_before_replace=options.get("deleteBeforeReplace", False),
        ignore_changes=options.get("ignoreChanges", ()),
        additional_secret_outputs=options.get("additionalSecretOutputs", ()),
    )


def _called(each: Manifest) -> str:
    return f"{each['token']} {each['name']}" if "token" in each else reference(each)


def paths(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Yield the path of each value inside a value, of whole branches too."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = cast("Manifest", value).items()
    elif isinstance(value, list):
        inner = enumerate(cast("list[Any]", value))
    for key, each in inner:
        yield (*path, key)
        yield from paths(each, (*path, key))


def replaced(value: Any, path: Path_, new: Any) -> Any:
    """Return the value with another one at a path. What is beside the path is the same, and not to be changed."""
    key, *rest = path
    changed = copy.copy(value)
    changed[key] = replaced(value[key], tuple(rest), new) if rest else new
    return changed


def _changed(objects: list[Manifest], change: dict[str, Any]) -> list[Manifest]:
    change = dict(change)
    for wanted in change.pop("merge", []):
        place = next((each for each in objects if _called(each) == _called(wanted)), None)
        if place is None:
            objects.append(wanted)
        else:
            _merge(place, wanted)
    gone = set(change.pop("without", []))
    assert gone <= {_called(each) for each in objects}, gone
    objects = [each for each in objects if _called(each) not in gone]
    for part in _PARTS.keys() & change.keys():
        place = next(each for each in objects if each["kind"].endswith(_PARTS[part]))
        place[part] = change.pop(part)
    return _workload_changed(objects, change) if change else objects


def _merge(place: Manifest, wanted: Manifest) -> None:
    for key, value in wanted.items():
        if isinstance(value, dict) and isinstance(place.get(key), dict):
            _merge(place[key], cast("Manifest", value))
        else:
            place[key] = value


def _workload_changed(objects: list[Manifest], change: dict[str, Any]) -> list[Manifest]:
    pod = objects[0]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    container.update(change.get("container", {}))
    if "security" in change:
        container["securityContext"] |= change["security"]
    if "securityContext" in change:
        container["securityContext"] = change["securityContext"]
    pod.update(change.get("pod", {}))
    unknown = change.keys() - {"container", "security", "securityContext", "pod", "policies"}
    assert not unknown, f"{unknown}: no such part"
    if "policies" not in change:
        return objects
    return [objects[0], *({**objects[1], **policy} for policy in change["policies"])]
