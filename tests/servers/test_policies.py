"""Nothing that the engine could send makes the pack fail, or say a secret: ten thousand objects, most of them malformed."""

import copy
import json
from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import pytest

from policies import formats
from policies.judge import Stack
from policies.plain import plain
from policies.rules import RULES
from policies.verdict import verdict
from tests.policies.fixtures import Path_, cases, compliant, paths
from tests.policies.servicer import UNKNOWN, Manifest, Pack, secret
from tests.render import committed

COUNT = 10_000
TOGETHER = 50
"""How many are judged as one stack."""

PLANTED = "planted-secret"
DEEPEST = 12
LEAVES: list[Any] = [
    *(None, "", "odd", "0", "-1", "ALL", "*", "50%", "1Gi", "0.0.0.0/0", "::/0", "${x}", "a\x00b\n\u202e", "é" * 300),
    *(0, 1, -1, 3.5, 1e300, float("nan"), float("inf"), True, False, [], {}, [None], [[]], [{}], {"": ""}),
    *(UNKNOWN, f"before {UNKNOWN}", "<secret>", "<known after up>"),
]


@cache
def known() -> tuple[list[Manifest], list[list[Path_]]]:
    """Return objects of the platform and of the fixtures, and the paths inside each."""
    given = [case.manifests for rule in RULES for case in cases(rule.name)]
    whole = [*committed("prod").manifests, *compliant(), *(each for one in given for each in one)]
    return whole, [list(paths(manifest)) for manifest in whole]


class Maker:
    """Makes objects: some that are known with a few changes, some of nothing but the same words."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.whole, self.paths = known()
        self.keys = sorted({str(key) for found in self.paths for path in found for key in path if isinstance(key, str)})
        self.kinds = sorted({(str(each.get("apiVersion")), str(each.get("kind"))) for each in self.whole})

    def object(self) -> Manifest:
        """Return one more."""
        return self.changed() if self.random.random() < 0.7 else self.invented()

    def changed(self) -> Manifest:
        """Return an object with up to three of its values replaced, taken away or said to be secret."""
        number = self.random.randrange(len(self.whole))
        manifest = copy.deepcopy(self.whole[number])
        for _ in range(self.random.randint(1, 3)):
            *above, last = self.random.choice(self.paths[number])
            place: Any = manifest
            try:
                for key in above:
                    place = place[key]
                place[last] = self.random.choice(self.changes())(place[last])
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took it away
        return manifest

    def changes(self) -> list[Callable[[Any], Any]]:
        """Return what can be done to a value."""
        return [
            lambda _value: self.leaf(),
            lambda _value: self.tree(3),
            lambda value: [value],
            lambda value: {"value": value},
            lambda value: [value, copy.deepcopy(value)],
            lambda _value: secret({"deep": [PLANTED]}),
            lambda value: secret(PLANTED) if isinstance(value, str) else secret([value, PLANTED]),
            lambda value: value if PLANTED in str(value) else str(value),
        ]

    def invented(self) -> Manifest:
        """Return an object of a known kind, or nearly, with whatever inside."""
        version, kind = self.random.choice(self.kinds)
        manifest: Manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": "it", "namespace": "app"}}
        manifest |= {self.random.choice(self.keys): self.tree(DEEPEST) for _ in range(self.random.randint(0, 4))}
        for key in ("apiVersion", "kind", "metadata", "spec"):
            if self.random.random() < 0.1:
                manifest[key] = self.tree(2)
        if kind == "Secret":
            manifest["stringData"] = {"key": PLANTED, "other": [PLANTED]}
        return manifest

    def tree(self, depth: int) -> Any:
        """Return a value of bounded depth: mostly narrow, now and then as deep as it may be."""
        sort = self.random.random()
        if depth == 0 or sort < 0.4:
            return self.leaf()
        if sort < 0.6:
            return [self.tree(depth - 1) for _ in range(self.random.randint(0, 2))]
        return {self.random.choice(self.keys): self.tree(depth - 1) for _ in range(self.random.randint(1, 2))}

    def leaf(self) -> Any:
        """Return a value without any inside, or a secret one."""
        return secret(PLANTED) if self.random.random() < 0.15 else copy.deepcopy(self.random.choice(LEAVES))


@pytest.mark.parametrize("seed", range(4))
def test_no_object_makes_the_pack_fail_or_tell_a_secret(seed: int) -> None:
    made, served = Maker(seed), Pack()
    found = [made.object() for _ in range(COUNT // 4)]
    said = 0
    for start in range(0, len(found), TOGETHER):
        some = found[start : start + TOGETHER]
        told = [each for manifest in some for each in served.analyze(manifest)] + served.analyze_stack(some)
        said += len(told)
        assert PLANTED not in "\n".join(each.message for each in told), start
    assert said > len(found) / 4, "many are malformed, and are said to be"


def test_no_report_fails_or_tells_a_secret() -> None:
    made = Maker(4)
    for _ in range(20):
        found = verdict("prod", Stack([(plain(made.object()), "") for _ in range(TOGETHER)]))
        for name, text in formats.FORMATS.items():
            assert PLANTED not in text(found), name
        json.loads(formats.FORMATS["policy.sarif"](found))


def test_the_objects_hold_what_must_not_be_told() -> None:
    made = Maker(0)
    assert sum(PLANTED in json.dumps(made.object()) for _ in range(500)) > 100
