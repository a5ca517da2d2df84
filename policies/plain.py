"""The SDK's proxies as plain data, so that rules can use `in`, `==` and `isinstance` as they mean them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pulumi_policy.proxy import UnknownValueError

from policies.rules.rule import UNKNOWN


def plain(value: Any) -> Any:
    """Return dicts, lists, integers and strings for what the SDK hands to a rule.

    The SDK's proxies are no dicts, compare by identity, raise on the first unknown value even for `in`, and carry every
    number as a float.
    """
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value)
        return {key: _known(items, key) for key in items}
    if isinstance(value, Sequence) and not isinstance(value, str):
        found = cast("Sequence[Any]", value)
        return [_known(found, index) for index in range(len(found))]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _known(container: Any, key: str | int) -> Any:
    try:
        return plain(container[key])
    except UnknownValueError:
        return UNKNOWN
