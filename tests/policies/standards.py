"""The cases with which Kubernetes tests its own evaluator of the Pod Security Standards, out of its pinned Go module."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from local.command import output
from tests.policies.fixtures import read

VERSION = "v1.37"
_PINNED = Path(__file__).parent / "pod-security"
_MODULE = "k8s.io/pod-security-admission"


class Standard(NamedTuple):
    """A pod that a level of the standards lets pass, or not; `name` is the check's, in small letters, and a number."""

    level: str
    passes: bool
    name: str
    pod: dict[str, Any]


@cache
def standards() -> list[Standard]:
    """Return the cases of all levels, downloading the module if need be; raise Problem if it is not to be had.

    Go checks it against the go.sum beside this file. No copy of it is kept here.
    """
    found = json.loads(output(["go", "-C", _PINNED, "mod", "download", "-json", _MODULE], timeout=600))
    return list(_read(Path(found["Dir"]) / "test" / "testdata"))


def _read(cases: Path) -> Iterator[Standard]:
    for level in ("baseline", "restricted"):
        for sort in ("pass", "fail"):
            for file in sorted((cases / level / VERSION / sort).glob("*.yaml")):
                yield Standard(level, sort == "pass", file.stem, read(file))
