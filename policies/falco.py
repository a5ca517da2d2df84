"""Falco as it is configured: its settings with what overrides them, and the detections that are in force."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

import yaml

from policies.programs import Objects, Program, parsed, programs
from policies.rule import Manifest, at

PRIORITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")
SEVERITIES: Mapping[str, str] = {
    **dict.fromkeys(PRIORITIES[:3], "critical"),
    **dict.fromkeys(PRIORITIES[3:5], "warning"),
    **dict.fromkeys(PRIORITIES[5:], "information"),
}
"""The label `severity` that falcosidekick gives an alert of a priority."""

_SEES = ("kmod", "modern_ebpf")


@dataclass(frozen=True, slots=True)
class Sensor:
    """A Falco: its container, and its settings, where the files of `config.d` and its options count too."""

    program: Program
    settings: Manifest

    def detections(self) -> dict[str, Manifest]:
        """Return each rule in force that a ConfigMap of the stack gives it, by name."""
        rules, macros = dict[str, Manifest](), dict[str, Manifest]()
        for text in self._rule_files():
            for item in cast("list[Any]", parsed(text) or []):
                if at(item, "rule") is not None:
                    _merge(rules, str(at(item, "rule")), item)
                elif at(item, "macro") is not None:
                    macros.setdefault(str(at(item, "macro")), {})  # it may be one of the image's
                    _merge(macros, str(at(item, "macro")), item)
        never = _never(macros)
        return {name: rule for name, rule in rules.items() if self._in_force(name, rule) and not _dead(rule, never)}

    def _rule_files(self) -> Iterator[Any]:
        default = ["/etc/falco/falco_rules.yaml", "/etc/falco/falco_rules.local.yaml", "/etc/falco/rules.d"]
        places = (
            self.program.option("-r", "--rules")
            or at(self.settings, "rules_files")
            or at(self.settings, "rules_file", default)
        )
        for place in [places] if isinstance(places, str) else places:
            inside = (path for path in self.program.files if path.startswith(f"{place.rstrip('/')}/"))
            yield from (self.program.files[path] for path in sorted((*inside, *({place} & self.program.files.keys()))))

    def _in_force(self, name: str, rule: Manifest) -> bool:
        enabled = at(rule, "enabled", default=True) is not False
        for change in at(self.settings, "rules", []):
            for word, state in (("enable", True), ("disable", False)):
                asked = at(change, word, {})
                by_name = "rule" in asked and fnmatchcase(name, at(asked, "rule", ""))
                if by_name or ("tag" in asked and at(asked, "tag") in at(rule, "tags", [])):
                    enabled = state
        least = str(at(self.settings, "priority", "debug")).lower()
        loud = PRIORITIES.index(priority(rule)) <= PRIORITIES.index(least)
        seen = at(rule, "source", "syscall") != "syscall" or self._sees()
        return enabled and loud and seen and bool(at(rule, "condition", ""))

    def _sees(self) -> bool:
        """Return whether it is told of system calls at all."""
        off, alone = self.program.option("--disable-source"), self.program.option("--enable-source")
        kept = "syscall" not in off and (not alone or "syscall" in alone)
        return kept and at(self.settings, "engine.kind", "modern_ebpf") in _SEES


def sensors(manifests: Objects) -> Iterator[Sensor]:
    """Yield each Falco of the stack."""
    for program in programs(manifests, "falco"):
        path = ["/etc/falco/falco.yaml", *program.option("-c", "--config")][-1]
        settings: Manifest = dict(parsed(program.files.get(path)) or {})
        for path in sorted(program.files):
            if "/config.d/" in path:
                settings |= cast("Manifest", parsed(program.files[path]) or {})
        for option in program.option("-o", "--option"):
            key, _, value = option.partition("=")
            _set(settings, key.split("."), yaml.safe_load(value))
        yield Sensor(program, settings)


def _set(settings: Manifest, keys: list[str], value: Any) -> None:
    """Put a value where an option names a place, as `a.b`; a name like `a[]` is a list that something is added to."""
    key, rest = keys[0], keys[1:]
    if key.endswith("[]"):
        added: Manifest = {}
        if rest:
            _set(added, rest, value)
        settings[key[:-2]] = [*at(settings, key[:-2], []), added if rest else value]
    elif rest:
        inner = settings.get(key)
        settings[key] = dict(cast("Manifest", inner)) if isinstance(inner, dict) else {}
        _set(settings[key], rest, value)
    else:
        settings[key] = value


def _merge(rules: dict[str, Manifest], name: str, item: Manifest) -> None:
    """Put a rule or a macro in place, or change the one that an earlier file defined."""
    before = rules.get(name)
    changes = at(item, "override", {})
    if before is None or ("condition" in item and not changes and not at(item, "append")):
        # What changes a rule of the image's own is none of the stack's.
        rules[name] = item if "condition" in item and not changes and not at(item, "append") else {}
        return
    kept = {key: value for key, value in item.items() if key not in ("rule", "macro", "override", "append")}
    for key, value in kept.items():
        adds = at(changes, key) == "append" or at(item, "append")
        before = {**before, key: f"{before.get(key, '')} {value}" if adds and isinstance(value, str) else value}
    rules[name] = before


def _never(macros: Mapping[str, Manifest]) -> set[str]:
    """Return the macros that never hold, with those that need one of them."""
    found = {"never_true"}
    while more := {name for name, macro in macros.items() if name not in found and _dead(macro, found)}:
        found |= more
    return found


def _dead(item: Manifest, never: set[str]) -> bool:
    """Return whether a condition needs what never holds; one beside an `or` it does not need."""
    names = "|".join(re.escape(name) for name in never)
    part = rf"(^|\band +)\(*\s*({names}|evt\.num *= *0)(?![\w-])(?!\s*\)*\s*or\b)"
    return re.search(part, " ".join(str(at(item, "condition", "")).split())) is not None


def priority(rule: Manifest) -> str:
    """Return the priority of a rule, by its whole name."""
    given = str(at(rule, "priority", "debug")).lower()
    return next((each for each in PRIORITIES if each.startswith(given[:4])), "debug")
