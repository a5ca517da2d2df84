"""Alertmanager's tree of routes: which receivers an alert comes to, judged by some or by all of its labels.

An alert's rule says only some of its labels; its expression brings others. So a matcher may match, not match, or perhaps match,
and an alert has a set of outcomes. With all labels given there is exactly one, the one of `amtool config routes test`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from policies.rule import Manifest, at

Outcome = frozenset[str]
INTERVALS = ("time_intervals", "mute_time_intervals")
_MIDNIGHT = ("23:59", "24:00")
_WHOLE = {
    "weekdays": ("sunday:saturday", "monday:sunday"),
    "months": ("1:12", "january:december"),
    "days_of_month": ("1:31", "1:-1"),
}
_MATCHER = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|([^\s"'`{},=!~]+))\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*"|[^",]*)""")


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label; `operator` is `=`, `!=`, `=~` or `!~`."""

    label: str
    operator: str
    value: str

    def matches(self, labels: Mapping[str, str], *, whole: bool) -> bool | None:
        """Return whether it matches, None if that depends on a label that is not given; in a `whole` set none is missing."""
        if self.label not in labels and not whole:
            return None
        value = labels.get(self.label, "")
        found = value == self.value if self.operator in ("=", "!=") else re.fullmatch(self.value, value) is not None
        return found != self.operator.startswith("!")


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree: whom it tells, of which alerts, and whether its siblings are asked after it.

    One with `times` is silent at times, one that is `mute` at all times.
    """

    receiver: str
    matchers: tuple[Matcher, ...] = ()
    continues: bool = False
    routes: tuple["Route", ...] = ()
    times: bool = False
    mute: bool = False
    repeat: str = ""

    def matches(self, labels: Mapping[str, str], *, whole: bool) -> bool | None:
        """Return whether all of its matchers match, None if that depends on a label that is not given."""
        found = {matcher.matches(labels, whole=whole) for matcher in self.matchers}
        return False if False in found else None if None in found else True


@dataclass(frozen=True, slots=True)
class Inhibition:
    """What silences an alert: another that fires, if both have the same values for some labels."""

    source: Sequence[Matcher]
    target: Sequence[Matcher]
    equal: Sequence[str]

    def may_hit(self, labels: Mapping[str, str]) -> bool:
        """Return whether an alert with these labels, and perhaps others, may be silenced by it."""
        return all(matcher.matches(labels, whole=False) is not False for matcher in self.target)

    def may_silence(self, source: Mapping[str, str], target: Mapping[str, str]) -> bool:
        """Return whether an alert with exactly these labels may silence one with these and perhaps others."""
        fires = all(matcher.matches(source, whole=True) for matcher in self.source)
        return (
            fires
            and self.may_hit(target)
            and all(target.get(label, "") in ("", source.get(label, "")) for label in self.equal)
        )


def outcomes(
    route: Route,
    labels: Mapping[str, str],
    *,
    whole: bool = False,
    told: Callable[[Route], str] = lambda route: route.receiver,
) -> set[Outcome]:
    """Return each set of those who may be told of an alert that came to a route.

    `told` says what counts of a route: its receiver, or only whether that is one. Where many routes perhaps match, the fewer
    things it tells apart, the fewer sets there are.
    """
    passing: set[Outcome] = {frozenset()}
    done = set[Outcome]()
    for child in route.routes:
        verdict = child.matches(labels, whole=whole)
        if verdict is False:
            continue
        inner = outcomes(child, labels, whole=whole, told=told)
        hit = {before | after for before in passing for after in inner}
        past = passing if verdict is None else set[Outcome]()
        if child.continues:
            passing = hit | past
        else:
            done |= hit
            passing = past
    return done | {each or frozenset({told(route)}) for each in passing}


def may_tell(route: Route, labels: Mapping[str, str]) -> set[str]:
    """Return each receiver that may be told of an alert that came to a route, with these labels and perhaps others."""
    found, certain = set[str](), False
    for child in route.routes:
        verdict = child.matches(labels, whole=False)
        if verdict is not False:
            found |= may_tell(child, labels)
            certain = certain or verdict is True
            if verdict is True and not child.continues:
                break
    return found if certain else found | {route.receiver}


def walk(route: Route) -> Iterator[Route]:
    """Yield a route and all below it."""
    yield route
    for child in route.routes:
        yield from walk(child)


def read(given: Manifest, receiver: str = "", *, silent: Sequence[str] = ()) -> Route:
    """Return the route of Alertmanager's own configuration; one that names no receiver has its parent's.

    `silent` are the names of the intervals that are all of the time.
    """
    receiver = at(given, "receiver", receiver)
    return Route(
        receiver,
        tuple(matchers(given)),
        at(given, "continue", default=False) is True,
        tuple(read(each, receiver, silent=silent) for each in at(given, "routes", [])),
        bool(at(given, "mute_time_intervals") or at(given, "active_time_intervals")),
        any(name in silent for name in at(given, "mute_time_intervals", [])),
        str(at(given, "repeat_interval", "")),
    )


def silent(config: Any) -> list[str]:
    """Return the names of a configuration's intervals that are all of the time."""
    named = [each for key in INTERVALS for each in at(config, key, [])]
    return [at(each, "name", "") for each in named if any(_always(part) for part in at(each, "time_intervals", []))]


def _always(part: Manifest) -> bool:
    """Return whether an interval is cut down by nothing, or by what is no bound."""
    for key, bounds in part.items():
        if key == "times":
            cut = not any(at(each, "start_time") == "00:00" and at(each, "end_time") in _MIDNIGHT for each in bounds)
        else:
            cut = key != "location" and not any(bound in _WHOLE.get(key, ()) for bound in bounds)
        if cut:
            return False
    return True


def native(given: Any) -> Any:
    """Return what an AlertmanagerConfig says, with the keys of Alertmanager's own configuration."""
    if isinstance(given, dict):
        items = cast("Manifest", given)
        return {
            re.sub("[A-Z]+", lambda found: f"_{found[0].lower()}", key): native(each) for key, each in items.items()
        }
    if isinstance(given, list):
        return [native(each) for each in cast("list[Any]", given)]
    return given


def matchers(given: Manifest, prefix: str = "") -> Iterator[Matcher]:
    """Yield the matchers of a route, or those for one side of an inhibition, as `source_`."""
    listed = [*at(given, f"{prefix}matchers", [])]
    for key, operator in (("match", "="), ("match_re", "=~")):
        pairs = at(given, f"{prefix}{key}", {})
        if isinstance(pairs, list):
            listed += cast("list[Any]", pairs)
        else:
            for label, value in pairs.items():
                yield Matcher(str(label), operator, str(value))
    for each in listed:
        if isinstance(each, dict):
            item = cast("Manifest", each)
            operator = at(item, "match_type") or ("=~" if at(item, "regex") else "=")
            yield Matcher(at(item, "name", ""), operator, at(item, "value", ""))
        else:
            yield from _written(str(each))


def _written(text: str) -> Iterator[Matcher]:
    """Yield each matcher of a text like `{team="web", severity=~"critical|warning"}`; raise ValueError if it is no such text."""
    rest = text.strip().removeprefix("{").removesuffix("}").strip()
    while rest:
        found = _MATCHER.match(rest)
        if found is None:
            raise ValueError("no matcher")
        quoted, bare, operator, value = found.groups()
        plain = _unquoted(value[1:-1]) if value.startswith('"') else value.strip()
        yield Matcher(_unquoted(quoted) if quoted is not None else bare, operator, plain)
        rest = rest[found.end() :].strip()
        if rest and not rest.startswith(","):
            raise ValueError("no matcher")
        rest = rest.removeprefix(",").strip()


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
