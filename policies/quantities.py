"""Kubernetes quantities and shares as numbers."""

import re
from fractions import Fraction
from typing import Any

_SUFFIXES: dict[str, Fraction] = {
    **{suffix: Fraction(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("k", "M", "G", "T", "P", "E"), 1)},
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}
_QUANTITY = re.compile(rf"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)({'|'.join(_SUFFIXES)})?")


def quantity(value: Any) -> Fraction:
    """Return what a quantity as `500m`, `64Mi` or `2` is; raise ValueError if it is none."""
    read = _QUANTITY.fullmatch(str(value))
    if read is None:
        raise ValueError("not a quantity")
    return Fraction(read[1]) * _SUFFIXES.get(read[2], Fraction(1))


def share(value: Any, whole: int, *, up: bool) -> int:
    """Return how many of a whole a number or a percentage is, rounded up or down."""
    text = str(value)
    if not text.endswith("%"):
        return int(text)
    exact = int(text.removesuffix("%")) * whole
    return -(-exact // 100) if up else exact // 100
