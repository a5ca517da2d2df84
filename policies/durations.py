"""Durations as Kubernetes' objects, Prometheus and our own annotations write them."""

import re
from typing import Any

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_PARTS = re.compile(rf"([0-9.]+)({'|'.join(_UNITS)})")


def seconds(text: Any) -> float:
    """Return how long a duration is, as `1h30m`, `500ms` or `30d`; 0 for none. Raise ValueError for what is no duration."""
    parts = _PARTS.findall(text or "")
    if "".join(number + unit for number, unit in parts) != (text or "") and text != "0":
        raise ValueError("no duration")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)
