"""What PostgreSQL, Redis and memcached are told: Patroni's configuration, the rules of access, and the servers' command lines."""

import ipaddress
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from policies.containers import Container, containers
from policies.rule import Manifest, at, identity, namespace_of

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_ON = ("on", "true", "yes", "1")
_ONCE = ("Job", "CronJob")  # what starts a server there starts one for itself


@dataclass(frozen=True, slots=True)
class Access:
    """A line of `pg_hba.conf`: over what, to which databases, as whom, from where, and how they prove it."""

    connection: str
    databases: str
    users: str
    address: str
    method: str


@dataclass(frozen=True, slots=True)
class Command:
    """A server's command line: where it is, the files it is given, and its options."""

    path: str
    files: Sequence[str]
    options: Mapping[str, str]


def configured(manifest: Manifest) -> bool:
    """Return whether an object is the configuration of PostgreSQL by Patroni, which is an annotation."""
    return at(manifest, "kind") == "ConfigMap" and at(manifest, "metadata.annotations.config") is not None


def patroni(manifest: Manifest) -> dict[str, Any]:
    """Return Patroni's configuration."""
    return json.loads(at(manifest, "metadata.annotations.config"))


def parameter(configuration: Manifest, name: str, default: str = "") -> str:
    """Return what PostgreSQL is told, in lower case; an integer or a switch as the word for it."""
    value = at(configuration, "postgresql.parameters", {}).get(name)
    return default if value is None else str(value).strip().lower()


def on(configuration: Manifest, name: str, default: str = "off") -> bool:
    """Return whether a switch of PostgreSQL is on."""
    return parameter(configuration, name, default) in _ON


def archives(configuration: Manifest) -> bool:
    """Return whether PostgreSQL hands over its log, piece by piece."""
    return parameter(configuration, "archive_mode") in (*_ON, "always")


def interval(configuration: Manifest, name: str, unit: str) -> float:
    """Return the seconds that a setting of PostgreSQL is, which without a unit of its own has this one; 0 if it is not there."""
    text = parameter(configuration, name, "0")
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz ")
    return float(number) * _SECONDS[text[len(number) :].strip() or unit]


def run_by_patroni(manifest: Manifest) -> bool:
    """Return whether an object is PostgreSQL's servers, run by Patroni."""
    return at(manifest, "kind") == "StatefulSet" and bool(_scope(manifest))


def configuration_of(servers: Manifest, manifests: Sequence[Manifest]) -> Manifest | None:
    """Return the object with the configuration of these servers."""
    place = (namespace_of(servers), f"{_scope(servers)}-config")
    for each in manifests:
        if configured(each) and identity(each) == place:
            return each
    return None


def accesses(configuration: Manifest) -> list[Access]:
    """Return the lines of access in their order: the first that fits decides."""
    return [access for line in at(configuration, "postgresql.pg_hba", []) if (access := _access(line))]


def commands(manifest: Manifest, program: str) -> Iterator[tuple[Container, Command]]:
    """Yield the command line of each server that an object runs for others: written out, or in a script.

    A container of an image of that name whose command line is not written here has one without any option.
    """
    if at(manifest, "kind") in _ONCE:
        return
    for container in containers(manifest):
        words = [str(word) for part in ("command", "args") for word in at(container.spec, part, [])]
        found = [command for text in _lines(words) if (command := _command(container.path, text, program)) is not None]
        image = str(at(container.spec, "image", "")).rpartition("/")[2].partition(":")[0].partition("@")[0]
        if not found and image in (program, program.partition("-")[0]):
            found = [Command(container.path, (), {})]
        for command in found:
            yield container, command


def _scope(manifest: Manifest) -> str:
    """Return the name under which Patroni's servers know each other, "" if these are none."""
    found = (
        at(variable, "value", "")
        for container in containers(manifest)
        for variable in at(container.spec, "env", [])
        if at(variable, "name") == "PATRONI_SCOPE"
    )
    return next((scope for scope in found if scope), "")


def _lines(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of the command line, and of each line of a script in it, with what the script is given."""
    yield list(words)
    for index, word in enumerate(words):
        given = words[index + 2 :]  # after the name that the script goes by
        for line in word.replace("\\\n", " ").splitlines():
            if len(line.split()) > 1:
                found = shlex.split(line, comments=True) if _closed(line) else line.split()
                yield [each for part in found for each in (given if part == "$@" else [part])]


def _closed(line: str) -> bool:
    try:
        return bool(shlex.split(line, comments=True))
    except ValueError:  # a quotation that goes on in the next line
        return False


def _command(path: str, words: Sequence[str], program: str) -> Command | None:
    names = [word.rpartition("/")[2] for word in words]
    if program not in names:
        return None
    files, options, last = list[str](), dict[str, str](), ""
    for word in words[len(names) - 1 - names[::-1].index(program) + 1 :]:
        if word.startswith("-"):
            last, _equals, value = word.lstrip("-").partition("=")
            options[last] = value
        elif last and not options[last]:
            options[last] = word
        elif not last:
            files.append(word)
    return Command(path, tuple(files), options)


def _access(line: str) -> Access | None:
    words = shlex.split(line, comments=True)
    if not words:
        return None
    connection, rest = words[0], words[1:]
    if connection == "local":
        return Access(connection, rest[0], rest[1], "", rest[2])
    if connection not in ("host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"):
        return Access(connection, "", "", "", "")  # another file, or nothing that PostgreSQL knows
    return Access(connection, rest[0], rest[1], rest[2], rest[4] if _mask(rest[3]) else rest[3])


def _mask(word: str) -> bool:
    try:
        return bool(ipaddress.ip_address(word))
    except ValueError:
        return False
