"""Which Python runs a program, and what is installed for it."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Interpreter:
    """A Python executable and the directories its packages are installed in."""

    executable: Path
    site_packages: tuple[Path, ...]

    def distributions(self) -> Iterator[metadata.Distribution]:
        """Yield every installed distribution."""
        return iter(metadata.distributions(path=[str(directory) for directory in self.site_packages]))


def own() -> Interpreter:
    """Return the Python this process runs on: the virtual environment the host is installed in."""
    directories = (Path(entry) for entry in sys.path if entry.endswith(("site-packages", "dist-packages")))
    return Interpreter(Path(sys.executable), tuple(directories))


def for_project(root: Path, virtualenv: str) -> Interpreter:
    """Return the Python of the project's `virtualenv` option, a path from `root`, or our own if it has none."""
    if not virtualenv:
        return own()
    environment = root / virtualenv
    executable = environment / "bin" / "python"
    if not executable.exists():
        raise FileNotFoundError(
            f"{root}: the runtime option `virtualenv: {virtualenv}` names a virtual environment that is not there; "
            f"create it with `python3 -m venv {environment}` or drop the option"
        )
    return Interpreter(executable, tuple(sorted(environment.glob("lib/python3.*/site-packages"))))


def normalized(name: str) -> str:
    """Return a distribution's name in the spelling by which two names can be compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required_by(distribution: metadata.Distribution) -> Iterator[str]:
    """Yield the normalized names of what a distribution requires, extras left out."""
    for requirement in distribution.requires or ():
        specification, _, marker = requirement.partition(";")
        name = re.match(r"[\w.-]+", specification.strip())
        if name and "extra" not in marker:
            yield normalized(name.group())
