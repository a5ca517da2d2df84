"""Who may talk to whom, as `tiers.yaml` declares it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from policies.levels import PackError
from policies.ranges import PROTOCOLS, Ranges

FILE = Path(__file__).parent / "tiers.yaml"
OUTSIDE = "outside"
_NONE = Ranges()


@dataclass(frozen=True, slots=True)
class Tiers:
    """The file, read: see it for what each part means."""

    reaches: Mapping[str, Mapping[str, Ranges]]
    behind: Mapping[str, str]
    guarded: frozenset[str]
    internet: Mapping[str, Ranges]
    machines: frozenset[str]
    servers: Mapping[str, frozenset[str]]

    @classmethod
    def load(cls, file: Path = FILE) -> Self:
        """Return what is declared; raise PackError if the file is wrong."""
        try:
            read: Mapping[str, Any] = yaml.safe_load(file.read_text())
            return cls(
                {
                    source: {target: _ports(ports) for target, ports in reached.items()}
                    for source, reached in read["tiers"].items()
                },
                dict(read["behind"]),
                frozenset(read["guarded"]),
                {workload: _ports(ports) for workload, ports in read["internet"].items()},
                frozenset(read["machines"]),
                {server: frozenset(clients) for server, clients in read["servers"].items()},
            )
        except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
            raise PackError(f"{file.name}: {type(error).__name__}: {error}") from None

    def declared(self, source: str, target: str) -> Ranges:
        """Return what the pods of a namespace may open to those of another."""
        return self.reaches.get(source, {}).get(target, _NONE)


def _ports(given: list[int | str]) -> Ranges:
    return Ranges.of(_port(each) for each in given)


def _port(given: int | str) -> tuple[str, int, int]:
    number, _, protocol = str(given).partition("/")
    if (protocol or "TCP") not in PROTOCOLS:
        raise ValueError(f"{given}: no such protocol; it is one of {', '.join(PROTOCOLS)}")
    return protocol or "TCP", int(number), int(number)


TIERS = Tiers.load()
