"""Amounts as manifests write them, as plain numbers."""

import re
from typing import Any

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def seconds(text: Any) -> float:
    """Return how long a duration is, as `1m30s`; 0 for none. Raise ValueError for what is no duration."""
    parts = re.findall(r"([0-9.]+)(ms|s|m|h)", text or "")
    if "".join(number + unit for number, unit in parts) != (text or ""):
        raise ValueError("no duration")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def size(text: Any) -> int:
    """Return how many bytes a quantity is, as `64Ki` or 65536; 0 for none. Raise ValueError for what is no quantity."""
    found = re.fullmatch(r"([0-9]+)([kMGT]i?|Ki|)", str(text or 0))
    if not found or found[2] not in _BYTES:
        raise ValueError("no quantity")
    return int(found[1]) * _BYTES[found[2]]
