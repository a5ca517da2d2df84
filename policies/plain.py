"""What the engine sends and what a render wrote, as plain data: the same for a rule, wherever it runs."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from pulumi_policy import deserialize, proxy

from policies.rule import Manifest, Unreadable, at

_UNKNOWN = frozenset(value for name, value in vars(proxy).items() if name.startswith("UNKNOWN_"))
_RENDERED = {"<secret>": "a secret", "<known after up>": "not known yet"}


def plain(value: Any, path: str = "", *, secret: bool = False) -> Any:
    """Return dicts, lists, integers and strings for what comes over the wire, or out of a rendered file.

    Each secret and each unknown leaf is an Unreadable; so are the values of a Secret, marked or not. All numbers of the wire
    are floats; the whole ones are integers here.
    """
    if isinstance(value, Mapping):
        return _mapping(cast("Mapping[str, Any]", value), path, secret=secret)
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [plain(inner, f"{path}[{index}]", secret=secret) for index, inner in enumerate(items)]
    return None if value is None else _leaf(value, path, secret=secret)


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
        yield "", {**properties, "kind": kind.removesuffix("Patch") if patch else kind}


def _mapping(items: Mapping[str, Any], path: str, *, secret: bool) -> Any:
    signature = items.get(deserialize.SPECIAL_SIG_KEY)
    if signature == deserialize.SPECIAL_SECRET_SIG:
        return plain(items.get("value"), path, secret=True)
    if signature is not None:
        return Unreadable(path, "a file")
    hidden = ("data", "stringData") if items.get("kind") == "Secret" else ()
    return {
        key: plain(inner, f"{path}.{key}" if path else key, secret=secret or key in hidden)
        for key, inner in items.items()
    }


def _leaf(value: Any, path: str, *, secret: bool) -> Any:
    if secret:
        return Unreadable(path, "a secret")
    if isinstance(value, str):
        marks = [why for mark, why in _RENDERED.items() if mark in value]
        marks += ["not known yet"] if value in _UNKNOWN else []
        return Unreadable(path, marks[0]) if marks else value
    return int(value) if isinstance(value, float) and value.is_integer() else value
