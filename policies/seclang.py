"""SecLang, the language that ModSecurity and Coraza are told in what they refuse: its directives, taken apart.

Names are alike in any case, a backslash joins lines, quotes hold blanks, and of what is set twice the last holds.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_WORD = re.compile(r'"((?:\\.|[^"\\])*)"|\'((?:\\.|[^\'\\])*)\'|(\S+)')
_OURS = re.compile(r"sec(?:rule|action|request|response|audit|default|marker|debug|collection|component|arguments)")
_QUOTED = re.compile(r"\\(.)")
_ACTION = re.compile(r"\s*([A-Za-z]+)(?::('(?:\\.|[^'\\])*'|[^,]*))?\s*(?:,|$)")
_BLOCKING = range(949000, 950000), range(959000, 960000), range(901000, 902000)
"""The rules of the Core Rule Set that do not look for an attack, but set its scores up and refuse by them."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive: its name in small letters, and its arguments without their quotes."""

    name: str
    arguments: tuple[str, ...]

    @property
    def actions(self) -> list[tuple[str, str]]:
        """The actions of a SecAction or a SecRule, each with its name in small letters and its value."""
        of_rule = {"secaction": 0, "secrule": 2}.get(self.name)
        if of_rule is None or len(self.arguments) <= of_rule:
            return []
        found = _ACTION.finditer(self.arguments[of_rule])
        return [(match[1].lower(), (match[2] or "").strip("'")) for match in found]


def parse(text: str) -> list[Directive]:
    """Return the directives of a text, comments left out."""
    found = list[Directive]()
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        words = [_word(match) for match in _WORD.finditer(line.strip())]
        if words and not words[0].startswith("#"):
            found.append(Directive(words[0].lower(), tuple(words[1:])))
    return found


def is_seclang(text: str) -> bool:
    """Return whether a text has a directive of this language."""
    return any(_OURS.match(directive.name) and directive.arguments for directive in parse(text))


def refuses(directives: list[Directive]) -> bool:
    """Return whether the engine is on, and on again behind whatever else is included: a recommended file only detects."""
    values = [index for index, each in enumerate(directives) if each.name == "secruleengine"]
    on = [index for index in values if [each.lower() for each in directives[index].arguments] == ["on"]]
    behind = directives[values[-1] :] if values else []
    return (
        bool(values)
        and on == values
        and all("crs" in " ".join(each.arguments) for each in behind if each.name == "include")
    )


def setting(directives: list[Directive], name: str) -> str:
    """Return what a setting is, in small letters; "" if nothing sets it."""
    given = [each.arguments[0] for each in directives if each.name == name.lower() and each.arguments]
    return given[-1].lower() if given else ""


def variable(directives: list[Directive], *names: str) -> int | None:
    """Return the number that a variable of the Core Rule Set is set to last, under any of its names; None if nothing sets it."""
    found: int | None = None
    for directive in directives:
        for action, value in directive.actions:
            key, _equals, number = value.partition("=")
            if action == "setvar" and key.lower().removeprefix("tx.") in names:
                found = int(number)
    return found


def included(directives: list[Directive]) -> bool:
    """Return whether the Core Rule Set is taken in, all of its files."""
    paths = [each.arguments[0].lower() for each in directives if each.name == "include" and each.arguments]
    return any("crs" in path and re.search(r"\*(\.conf)?$", path) for path in paths)


def exclusions(directives: list[Directive]) -> Iterator[str]:
    """Yield what takes away more than single rules or single arguments, each as it can be said to a person."""
    for directive in directives:
        if directive.name == "secruleremovebyid":
            yield from (f"{directive.name} {reason}" for reason in _ids(directive.arguments))
        elif directive.name in ("secruleremovebytag", "secruleremovebymsg", "secruleupdateactionbyid"):
            yield f"{directive.name} takes away whole sorts of attack, or that they are refused"
        for action, value in directive.actions:
            if action in ("allow", "skip", "skipafter"):
                yield f"{action} passes over all rules"
            elif action == "ctl":
                yield from _controls(value)


def _controls(value: str) -> Iterator[str]:
    name, _equals, to = value.partition("=")
    match name.lower():
        case "ruleengine" | "requestbodyaccess" if to.lower() != "on":
            yield f"ctl:{name} turns the firewall off for some requests"
        case "ruleremovebytag" | "ruleremovebymsg":
            yield f"ctl:{name} takes away whole sorts of attack"
        case "ruleremovebyid":
            yield from (f"ctl:{name} {reason}" for reason in _ids([to]))
        case _:
            pass


def _ids(arguments: list[str] | tuple[str, ...]) -> Iterator[str]:
    for text in re.split(r"[\s,]+", " ".join(arguments).strip()):
        if not text.isdigit():
            yield "takes away a range of rules"
        elif any(int(text) in ids for ids in _BLOCKING):
            yield "takes away the rules that refuse"


def _word(match: re.Match[str]) -> str:
    quoted = match[1] if match[1] is not None else match[2]
    return match[3] if quoted is None else _QUOTED.sub(r"\1", quoted)
