"""Fluent Bit as it is configured, in its old format of sections or in YAML: its service, inputs, filters and outputs."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, cast

from policies.programs import Objects, Program, parsed, programs
from policies.rule import Manifest, Unreadable, at

_DROPPING = ("grep", "throttle", "throttle_size", "sampling", "sql")
_SORTS = {"input": "inputs", "filter": "filters", "output": "outputs"}


@dataclass(frozen=True, slots=True)
class Shipper:
    """A Fluent Bit: its container, and its sections, each with its keys in lower case."""

    program: Program
    service: Manifest
    inputs: list[Manifest]
    filters: list[Manifest]
    outputs: list[Manifest]

    def dropping(self) -> Iterator[str]:
        """Yield where records are dropped on purpose: by a filter, or by what an input or output does itself."""
        for index, each in enumerate(self.filters):
            if str(at(each, "name", "")).lower() in _DROPPING:
                yield f"filters[{index}]"
        for sort, sections in (("inputs", self.inputs), ("outputs", self.outputs)):
            for index, section in enumerate(sections):
                for each in at(section, "processors.logs", []):
                    if str(at(each, "name", "")).lower() in _DROPPING:
                        yield f"{sort}[{index}].processors"


def shippers(manifests: Objects) -> Iterator[Shipper]:
    """Yield each Fluent Bit of the stack."""
    for program in programs(manifests, "fluent-bit"):
        sections: dict[str, list[Manifest]] = {"service": [], "inputs": [], "filters": [], "outputs": []}
        for path, text in _loaded(program):
            found: dict[str, list[Manifest]] = {}
            if path.endswith((".yaml", ".yml")):
                found = _from_yaml(parsed(text))
            elif path.endswith(".conf"):
                found = _from_sections(text)
            for sort, each in found.items():
                sections[sort] += each
        service: Manifest = {key: value for each in sections["service"] for key, value in each.items()}
        yield Shipper(program, service, sections["inputs"], sections["filters"], sections["outputs"])


def _loaded(program: Program) -> Iterator[tuple[str, Any]]:
    """Yield the file that it is started with, and each that one includes; a file that is only mounted says nothing."""
    defaults = [
        path for path in ("/fluent-bit/etc/fluent-bit.conf", "/fluent-bit/etc/fluent-bit.yaml") if path in program.files
    ]
    waiting, seen = program.option("-c", "--config")[-1:] or defaults[:1], set[str]()
    while waiting:
        path = waiting.pop(0)
        if path in seen or path not in program.files:
            continue
        seen.add(path)
        yield path, program.files[path]
        folder = path.rpartition("/")[0]
        for name in _includes(path, program.files[path]):
            wanted = name if name.startswith("/") else f"{folder}/{name}"
            waiting += [each for each in program.files if fnmatchcase(each, wanted)]


def _includes(path: str, text: Any) -> list[str]:
    if path.endswith(".conf"):
        return re.findall(r"^\s*@INCLUDE\s+(\S+)", _text(text), re.MULTILINE | re.IGNORECASE)
    return [str(each) for each in at(parsed(text), "includes", [])]


def _text(text: Any) -> str:
    if isinstance(text, Unreadable):
        text.read()
    return str(text)


def is_on(value: Any) -> bool:
    """Return whether a switch is on, in any of the words that Fluent Bit has for it."""
    return str(value).lower() in ("on", "true", "yes", "1")


def _from_yaml(content: Any) -> dict[str, list[Manifest]]:
    found = {sort: [_lower(each) for each in at(content, f"pipeline.{sort}", [])] for sort in _SORTS.values()}
    return {**found, "service": [_lower(at(content, "service", {}))]}


def _from_sections(text: Any) -> dict[str, list[Manifest]]:
    found: dict[str, list[Manifest]] = {"service": [], "inputs": [], "filters": [], "outputs": []}
    section: Manifest = {}
    for line in _text(text).splitlines():
        heading = re.match(r"^\s*\[(\w+)\]", line)
        if heading:
            section = {}
            found.setdefault(_SORTS.get(heading[1].lower(), heading[1].lower()), []).append(section)
        elif line.strip() and not line.strip().startswith(("#", "@")):
            key, _, value = line.strip().partition(" ")
            section[key.lower()] = value.strip()
    return {sort: each for sort, each in found.items() if sort in ("service", *_SORTS.values())}


def _lower(section: Any) -> Manifest:
    return {key.lower(): value for key, value in cast("Manifest", section).items()} if isinstance(section, dict) else {}
