"""How long it is, at the longest, between two times of a schedule."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import pairwise

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMES = {
    3: ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    4: ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
}

# After 28 years the days of the week fall on the same dates again; where dates do not matter, one week tells all.
_FIRST, _DAYS, _WEEK = date(2001, 1, 1), (date(2029, 1, 1) - date(2001, 1, 1)).days, 7


def longest_gap(schedules: Sequence[str]) -> int:
    """Return the most seconds between two times of any of some schedules, as Kubernetes reads them.

    Raises ValueError if one is none, or if there is no such time.
    """
    found = _longest_gap(tuple(schedules))
    if found < 0:
        raise ValueError("a schedule without a time")
    return found


@cache
def _longest_gap(schedules: tuple[str, ...]) -> int:
    """Return the same, and -1 if there is no such time."""
    read = [_Schedule(schedule) for schedule in schedules]
    period = _WEEK if all(schedule.weekly for schedule in read) else _DAYS
    days = dict[tuple[bool, ...], list[int]]()
    first, last, longest = -1, -1, 0
    for number in range(period):
        on = tuple(schedule.on(_FIRST + timedelta(days=number)) for schedule in read)
        if on not in days:
            days[on] = sorted(set[int]().union(*(each.minutes for each, there in zip(read, on, strict=True) if there)))
            longest = max([longest, *(after - before for before, after in pairwise(days[on]))])
        if minutes := days[on]:
            start = number * 1440
            longest = max(longest, start + minutes[0] - last if last >= 0 else 0)
            first, last = first if first >= 0 else start + minutes[0], start + minutes[-1]
    if first < 0:
        return -1
    return max(longest, period * 1440 - last + first) * 60


class _Schedule:
    """A schedule, taken apart."""

    def __init__(self, text: str) -> None:
        fields = _MACROS.get(text, text).lower().split()
        if len(fields) != len(_LIMITS):
            raise ValueError("no schedule of five fields")
        minutes, hours, self._days, self._months, self._weekdays = (
            set(_values(n, each)) for n, each in enumerate(fields)
        )
        # If both are given, either is enough.
        self._either = not any(field.startswith(("*", "?")) for field in (fields[2], fields[4]))
        self.weekly = len(self._days) == _LIMITS[2][1] and len(self._months) == _LIMITS[3][1]
        self.minutes = frozenset(hour * 60 + minute for hour in hours for minute in minutes)

    def on(self, day: date) -> bool:
        found = (day.day in self._days, day.isoweekday() % 7 in self._weekdays)
        return day.month in self._months and (any(found) if self._either else all(found))


def _values(number: int, field: str) -> Iterator[int]:
    low, high = _LIMITS[number]
    for part in field.split(","):
        span, slash, step = part.partition("/")
        start, dash, end = span.partition("-")
        if span in ("*", "?"):
            first, last = low, high
        else:
            first = _value(number, start)
            last = _value(number, end) if dash else high if slash else first
        width = int(step) if slash else 1
        if not low <= first <= last <= high or width < 1:
            raise ValueError("no such time")
        yield from range(first, last + 1, width)


def _value(number: int, text: str) -> int:
    names = _NAMES.get(number, ())
    return names.index(text) if text and text in names else int(text)
