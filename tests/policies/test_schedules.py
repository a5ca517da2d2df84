"""Schedules and durations, as Kubernetes and Go read them."""

import pytest

from policies.schedules import longest_gap

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("schedules", "gap"),
    [
        (["* * * * *"], MINUTE),
        (["*/15 * * * *"], 15 * MINUTE),
        (["*/25 * * * *"], 25 * MINUTE),
        (["47 */6 * * *"], 6 * HOUR),
        (["0 */5 * * *"], 5 * HOUR),
        (["0 1-3 * * *"], 22 * HOUR),
        (["5/20 0 * * *"], 23 * HOUR + 20 * MINUTE),
        (["0 1 * * *"], DAY),
        (["@daily"], DAY),
        (["@weekly"], 7 * DAY),
        (["0 1 * * 0"], 7 * DAY),
        (["0 1 * * MON-FRI"], 3 * DAY),
        (["0 1 * * 1-6"], 2 * DAY),
        (["0 1 * * 0", "0 1 * * 1-6"], DAY),
        (["0 1 1 * *"], 31 * DAY),
        (["0 1 1 jan,jul *"], 184 * DAY),
        (["0 1 31 * *"], 61 * DAY),
        (["0 1 1,15 * 1"], 7 * DAY),  # a Monday is enough, and so is the first
        (["0 1 */2 * 1"], 21 * DAY),  # both: a Monday of an odd date
        (["0 0 29 2 *"], 1461 * DAY),
        (["? ? ? * ?"], MINUTE),
    ],
)
def test_the_longest_gap_is_found(schedules: list[str], gap: int) -> None:
    assert longest_gap(schedules) == gap


@pytest.mark.parametrize(
    "schedule",
    [
        "",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "5-3 * * * *",
        "a * * * *",
        "@reboot",
        "@every 5m",
        "0 0 30 2 *",
        "-1 * * * *",
        ", * * * *",
        "CRON_TZ=UTC * * * * *",
    ],
)
def test_what_never_comes_is_no_schedule(schedule: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        longest_gap([schedule])
