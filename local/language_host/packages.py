"""Which provider plugins a program needs, read from what it imports.

Reporting everything that is installed, as the released host does, would make the engine fetch plugins that no line of the
program uses. Reporting too little costs nothing: the engine starts whatever else it needs when the program asks for it.
"""

import ast
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.language_host.interpreter import Interpreter, normalized, required_by

_METADATA = "pulumi-plugin.json"


@dataclass(frozen=True)
class Plugin:
    """A provider plugin, as the package that speaks to it describes it."""

    name: str
    version: str
    server: str
    parameterization: dict[str, Any] | None


def imported(program: Path) -> set[str]:
    """Return the dotted names that a program takes from outside its own folder, through all of its own files.

    `from pulumi_kubernetes import core` followed by `core.v1` gives both `pulumi_kubernetes.core` and
    `pulumi_kubernetes.core.v1`. Names that are not modules are among them. A file that does not parse gives none; running it
    will say why.
    """
    start = program / "__main__.py" if program.is_dir() else program
    waiting, seen, names, looked_up = [start], {start}, set[str](), set[str]()
    while waiting:
        file = waiting.pop()
        for name in set(_names(file, start.parent)) - looked_up:
            looked_up.add(name)
            own = list(_own_files(start.parent, name))
            waiting += [module for module in own if module not in seen]
            seen.update(own)
            if not own and name.split(".")[0] not in sys.stdlib_module_names:
                names.add(name)
    return names


def plugins(interpreter: Interpreter, names: set[str]) -> list[Plugin]:
    """Return the plugins behind the installed packages among `names`, and behind the packages those require."""
    installed = {normalized(found.metadata["Name"]): found for found in interpreter.distributions()}
    waiting = sorted({normalized(name.split(".")[0]) for name in names})
    seen, found = set[str](), list[Plugin]()
    while waiting:
        package = waiting.pop(0)
        if package in seen or not package.startswith("pulumi-"):
            continue
        seen.add(package)
        version = ""
        if package in installed:
            version = installed[package].version
            waiting += required_by(installed[package])
        for directory in interpreter.site_packages:
            file = directory / package.replace("-", "_") / _METADATA
            if file.exists():
                found += _plugin(json.loads(file.read_text()), package, version)
    return found


def _plugin(described: dict[str, Any], package: str, version: str) -> Iterator[Plugin]:
    if described.get("resource"):
        yield Plugin(
            name=described.get("name") or package.removeprefix("pulumi-"),
            version=described.get("version") or version,
            server=described.get("server") or "",
            parameterization=described.get("parameterization"),
        )


def _names(file: Path, root: Path) -> Iterator[str]:
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom, ast.Attribute))]
    package = list(file.relative_to(root).parent.parts)
    meaning = dict[str, str]()
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                meaning[alias.asname or alias.name] = alias.name
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            # One leading dot is the file's own package, each further dot the one above.
            parents = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                meaning[alias.asname or alias.name] = f"{module}.{alias.name}".strip(".")
                yield f"{module}.{alias.name}".strip(".")
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in meaning:
            yield f"{meaning[node.value.id]}.{node.attr}"


def _own_files(root: Path, name: str) -> Iterator[Path]:
    path = root
    for part in name.split("."):
        path = path / part
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                yield file
