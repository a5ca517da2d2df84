"""Label selectors, exactly as Kubernetes matches them."""

from collections.abc import Callable, Mapping
from typing import Any

from policies.rule import Manifest, at

Labels = Mapping[str, Any]
Matches = Callable[[Labels], bool]

_EXPRESSIONS: Mapping[str, Callable[[Any, list[Any]], bool]] = {
    "In": lambda value, values: value is not None and value in values,
    # A label that is not there is in no list. cyclonus has it otherwise; the API server's own library, and all that use it, so.
    "NotIn": lambda value, values: value is None or value not in values,
    "Exists": lambda value, _values: value is not None,
    "DoesNotExist": lambda value, _values: value is None,
}


def matcher(selector: Manifest) -> Matches:
    """Return what tells whether labels are selected: all are by an empty selector.

    Whatever of it cannot be read raises here, not later. Raises ValueError for an operator that there is not.
    """
    equal: dict[str, Any] = {key: _read(value) for key, value in at(selector, "matchLabels", {}).items()}
    tests = [_test(expression) for expression in at(selector, "matchExpressions", [])]

    def matches(labels: Labels) -> bool:
        return all(labels.get(key) == value for key, value in equal.items()) and all(test(labels) for test in tests)

    return matches


def pinned(selector: Manifest, key: str) -> set[str] | None:
    """Return the only values that a label of what is selected can have; None if the selector leaves them open."""
    found: list[set[str]] = []
    value: Any = at(selector, "matchLabels", {}).get(key)
    if value is not None:
        found.append({_read(value)})
    found += [
        {_read(value) for value in at(expression, "values", [])}
        for expression in at(selector, "matchExpressions", [])
        if at(expression, "key") == key and at(expression, "operator") == "In"
    ]
    return set[str].intersection(*found) if found else None


def _test(expression: Manifest) -> Matches:
    key, operator = at(expression, "key"), at(expression, "operator")
    values = [_read(value) for value in at(expression, "values", [])]
    if operator not in _EXPRESSIONS:
        raise ValueError("a label selector's operator is none of Kubernetes's")
    test = _EXPRESSIONS[operator]
    return lambda labels: test(labels.get(key), values)


def _read(value: Any) -> str:
    """Return a label's value, which is a string; raise UnreadableError if it cannot be read."""
    return str(value)
