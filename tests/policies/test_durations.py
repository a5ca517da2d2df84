"""Durations are read as they are written in all the objects that have some."""

from typing import Any

import pytest

from policies.durations import seconds

MINUTE, DAY = 60, 86400


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("60s", MINUTE),
        ("1m30s", 90),
        ("500ms", 0.5),
        ("2160h", 90 * DAY),
        ("1h30m", 90 * MINUTE),
        ("1.5h", 90 * MINUTE),
        ("30d", 30 * DAY),
        ("1w", 7 * DAY),
        ("0s", 0),
        ("0", 0),
        ("", 0),
        (None, 0),
    ],
)
def test_a_duration_is_read(text: Any, length: float) -> None:
    assert seconds(text) == length


@pytest.mark.parametrize("text", ["1", "h", "-1h", "1 h", "ten", "24h "])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)
