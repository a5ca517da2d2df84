"""Random trees of Alertmanager's routes, as its configuration, and random labels of alerts."""

import json
from collections.abc import Mapping
from random import Random
from typing import Any

LABELS = ("alertname", "team", "severity", "x_1")
VALUES = ("", "a", "b", "ab", "a b", 'a"b', "a,b", "{a}", "a\\b")
PATTERNS = ("a", "a|b", "a.*", ".*", ".+", "b?", "[^a]", "(a|ab)", "a b", "", "A", "a,b")


def tree(random: Random, depth: int = 3) -> dict[str, Any]:
    """Return a configuration with a tree of so many levels at most; its root gets every alert."""
    root = {
        key: value
        for key, value in _route(random, depth).items()
        if key not in ("match", "match_re", "matchers", "continue")
    }
    return {"route": {"receiver": "r0", **root}, "receivers": [{"name": f"r{number}"} for number in range(6)]}


def labels(random: Random) -> dict[str, str]:
    """Return some labels of an alert."""
    chosen = random.sample(LABELS, random.randint(1, len(LABELS)))
    return {label: _value(random) or "a" for label in chosen}


def written(given: Mapping[str, str]) -> list[str]:
    """Return labels as amtool takes them."""
    return [f"{label}={json.dumps(value)}" for label, value in given.items()]


def _route(random: Random, depth: int) -> dict[str, Any]:
    route: dict[str, Any] = {}
    if random.random() < 0.8:
        route["receiver"] = f"r{random.randrange(6)}"
    if random.random() < 0.5:
        route["continue"] = True
    match random.randrange(5):
        case 0:
            route["match"] = {random.choice(LABELS): _value(random)}
        case 1:
            route["match_re"] = {random.choice(LABELS): random.choice(PATTERNS)}
        case 2:
            both = [_matcher(random), _matcher(random)]
            route["matchers"] = both if random.random() < 0.5 else [f"{{{','.join(both)}}}"]
        case 3:
            route["matchers"] = [_matcher(random)]
        case _:
            pass
    if depth:
        route["routes"] = [_route(random, depth - 1) for _ in range(random.randint(1, 4))]
    return route


def _matcher(random: Random) -> str:
    operator = random.choice(("=", "!=", "=~", "!~"))
    value = random.choice(PATTERNS) if "~" in operator else _value(random)
    plain = value.isalnum() and random.random() < 0.5
    space = random.choice(("", " "))
    return f"{random.choice(LABELS)}{space}{operator}{space}{value if plain else json.dumps(value)}"


def _value(random: Random) -> str:
    return random.choice(VALUES if random.random() < 0.4 else ("a", "b"))
