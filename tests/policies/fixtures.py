"""The fixtures: `fixtures/RULE.yaml` has cases that fail, pass, and nearly fail, each a change to a compliant program."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml

HERE = Path(__file__).parent / "fixtures"
SORTS = ("fail", "pass", "near-miss")

Manifest = dict[str, Any]
Path_ = tuple[str | int, ...]


class Case(NamedTuple):
    """Objects that one rule passes, or not."""

    rule: str
    sort: str
    name: str
    manifests: list[Manifest]


def compliant() -> list[Manifest]:
    """Return objects that no rule finds fault with: a Deployment, and the policies of its namespace."""
    return list(yaml.safe_load_all((HERE / "compliant.yaml").read_text()))


def cases(rule: str) -> list[Case]:
    """Return the cases of a rule; none if it has no file."""
    file = HERE / f"{rule}.yaml"
    read: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text()) if file.exists() else {}
    return [Case(rule, sort, name, _changed(change)) for sort in read for name, change in read[sort].items()]


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
    """Return a copy with another value at a path."""
    changed = copy.deepcopy(value)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = new
    return changed


def _changed(change: dict[str, Any]) -> list[Manifest]:
    """Return the compliant objects with a change: to the `container`, its `security`, the `pod`, or with other `policies`."""
    objects = compliant()
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
