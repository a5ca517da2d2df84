"""What the engine sends and what a render wrote, as plain data: the same for a rule, wherever it runs."""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, cast

from pulumi_policy import deserialize, proxy

from policies.rule import MARKED, UNKNOWN, UNMARKED, Manifest, Plain, Unreadable, at, found_once

_UNKNOWN = frozenset(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))
_RENDERED = {"<secret>": MARKED, "<known after up>": UNKNOWN}
_REDACTED = "[secret]"  # by `pulumi policy analyze`, which cannot decrypt a state


def plain(value: Any, path: str = "", *, hidden: str = "") -> Any:
    """Return dicts, lists, integers and strings for what comes over the wire, or out of a rendered file.

    Each secret and each unknown leaf is an Unreadable; so are the values of a Secret that nothing marks as one, and those say so.
    All numbers of the wire are floats; the whole ones are integers here. `hidden` is why a part of it cannot be read.
    """
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[str, Any]", value), path, hidden=hidden)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [plain(inner, f"{path}[{index}]", hidden=hidden) for index, inner in enumerate(items)]
    return None if value is None else _leaf(value, path, hidden=hidden)


@found_once
def objects(properties: Manifest, token: str = "") -> Iterator[tuple[str, Manifest]]:
    """Yield each object that a resource stands for, with the path to it: a list's items, else the resource itself.

    A patch is judged like what it patches: what it leaves out, it does not prove. `token` is the resource's type, which says
    the kind where the properties do not.
    """
    kind = str(at(properties, "kind", token.rpartition(":")[2]))
    if kind.endswith("List") and "items" in properties:
        for index, item in enumerate(at(properties, "items", [])):
            for path, manifest in objects(item, kind.removesuffix("List")):
                yield f"items[{index}].{path}", manifest
    else:
        # Only a type of the provider's is called so; a custom resource may be, and then its group is its own.
        patch = token.endswith("Patch") and kind.endswith("Patch")
        yield "", Plain(properties, kind=kind.removesuffix("Patch") if patch else kind)


def _mapping(items: Mapping[str, Any], path: str, *, hidden: str) -> Any:
    signature = items.get(deserialize.SPECIAL_SIG_KEY)
    if signature == deserialize.SPECIAL_SECRET_SIG:
        return plain(items.get("value"), path, hidden=MARKED)
    if signature is not None:
        return Unreadable(path, "a file")
    held = ("data", "stringData") if items.get("kind") == "Secret" else ()
    return {
        key: plain(inner, f"{path}.{key}" if path else key, hidden=hidden or (UNMARKED if key in held else ""))
        for key, inner in items.items()
    }


def _leaf(value: Any, path: str, *, hidden: str) -> Any:
    marks = [hidden] if hidden == MARKED else []
    if isinstance(value, str):
        marks += [why for mark, why in _RENDERED.items() if mark in value]
        marks += [MARKED] if value == _REDACTED else []
        marks += [UNKNOWN] if value in _UNKNOWN else []
    if marks or hidden:
        return Unreadable(path, [*marks, hidden][0])
    if isinstance(value, float):
        if not isfinite(value):  # which compares with everything, and is never too large
            return Unreadable(path, "not a number")
        return int(value) if value.is_integer() else value
    return value
