"""What an image is made of, read from its Dockerfile: the images it builds on, the files it copies, and so its key.

A Dockerfile is the only description of an image. It works with `docker build` from the repository's root as well, for
whoever has a registry; `build/` is where the files go that are made and not kept in the repository.
"""

import ast
import platform
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import cache
from local.problem import Problem

REPOSITORY = Path(__file__).resolve().parents[2]
VERSIONS = Path("components/versions.py")
ROOT_FILESYSTEM = "build/rootfs.tar"
BINARIES = "build/bin/"
RELEASE = "bookworm"

# Built upon, never run: who names the reference in a FROM gets the local image of that name.
BASES = {"docker.io/library/debian:bookworm-slim": "debian", "platform/python:0.1.0": "python"}
# Run by the one-node Kubernetes itself and by nothing in the program, which is why the versions file has no line for them.
_NODE = {
    "pause": "registry.k8s.io/pause:3.10",
    "coredns": "registry.k8s.io/coredns/coredns:v1.13.1",
    "metrics-server": "registry.k8s.io/metrics-server/metrics-server:v0.7.2",
}
# In the order in which two builders waste the least time: worker and scheduler wait for the base that api makes.
_STORES = ("postgres-exporter", "pgbouncer", "redis", "memcached", "versitygw", "buckets", "snapshots")
NAMES = ("api", "postgres", "frontend", *_STORES, "cert-manager-controller", *_NODE, "worker", "scheduler")
# Raise it when the builder itself changes what comes out.
_BUILDER = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One Dockerfile: `froms` maps each reference it builds on to our own image of that name, `sources` is what it copies."""

    name: str
    dockerfile: Path
    froms: Mapping[str, str]
    sources: tuple[str, ...]


def read(name: str, repository: Path = REPOSITORY) -> Recipe:
    """Return the recipe of the image `images/name`; a file it copies but nobody has is a Problem."""
    dockerfile = repository / "images" / name / "Dockerfile"
    if not dockerfile.is_file():
        raise Problem(f"{dockerfile} is missing: every image has a Dockerfile in a folder of its name")
    froms: dict[str, str] = {}
    stages: set[str] = set()
    sources: list[str] = []
    for keyword, words in instructions(dockerfile.read_text()):
        if keyword == "FROM":
            reference = words[0]
            if reference not in stages | {"scratch"}:
                froms[reference] = _base(reference, dockerfile)
            if len(words) == 3:
                stages.add(words[2])
        elif keyword in ("COPY", "ADD") and not any(word.startswith("--from=") for word in words):
            sources += [word for word in words if not word.startswith("--")][:-1]
    for source in sources:
        if not source.startswith("build/") and not (repository / source).exists():
            raise Problem(f"{dockerfile}: copies {source}, which is not in {repository}")
    return Recipe(name=name, dockerfile=dockerfile, froms=froms, sources=tuple(sources))


def instructions(text: str) -> list[tuple[str, list[str]]]:
    """Return each instruction of a Dockerfile as its keyword and words, with comments and line continuations resolved."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found: list[tuple[str, list[str]]] = []
    for line in filter(str.strip, joined.splitlines()):
        keyword, _, rest = line.strip().partition(" ")
        plain = keyword in ("FROM", "COPY", "ADD")
        found.append((keyword, shlex.split(rest) if plain else [rest.strip()]))
    return found


def key(name: str, named: str, binaries: Path, repository: Path = REPOSITORY) -> str:
    """Return the content key of the image: it changes with its Dockerfile, a file it copies, its base or its name."""
    recipe = read(name, repository)
    parts: list[str | Path] = [_BUILDER, platform.machine(), named, recipe.dockerfile]
    for reference, base in recipe.froms.items():
        parts += [reference, key(base, reference, binaries, repository)]
    for source in recipe.sources:
        # What debootstrap unpacks differs from day to day; its key is what was asked for.
        parts += [source, RELEASE if source == ROOT_FILESYSTEM else origin(source, binaries, repository)]
    return cache.key(*parts)


def origin(source: str, binaries: Path, repository: Path = REPOSITORY) -> Path:
    """Return where a file that a Dockerfile copies is on this machine."""
    if not source.startswith(BINARIES):
        return repository / source
    binary = binaries / source.removeprefix(BINARIES)
    if not binary.is_file():
        raise Problem(f"{binary} is missing: build the tools before the images that carry them")
    return binary


def references(repository: Path = REPOSITORY) -> dict[str, str]:
    """Return the reference of each image in NAMES: what the versions file says, and the node's own.

    The file is read, not imported: this runs before anything it might import is installed.
    """
    file = repository / VERSIONS
    try:
        tree = ast.parse(file.read_text())
    except (OSError, SyntaxError) as error:
        raise Problem(f"{file}: cannot be read as Python: {error}") from error
    found = dict(_NODE)
    for statement in tree.body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found.setdefault(_folder(value.value, file), value.value)
    if missing := [name for name in NAMES if name not in found]:
        raise Problem(
            f"{file}: names no image for {', '.join(missing)}; add a line like NAME = 'platform/{missing[0]}:1.0'"
        )
    return {name: found[name] for name in NAMES}


def normalised(reference: str) -> str:
    """Return the reference with its registry spelled out, as containerd keeps it."""
    registry, _, rest = reference.partition("/")
    if rest and ("." in registry or ":" in registry or registry == "localhost"):
        return reference
    return f"docker.io/{reference if rest else f'library/{reference}'}"


def _folder(reference: str, file: Path) -> str:
    name, _, tag = reference.rpartition("/")[2].partition(":")
    if not tag or "@" in tag or tag == "latest":
        raise Problem(f"{file}: {reference!r} must end in a tag that says the version, like {name or 'name'}:1.2.3")
    return name


def _base(reference: str, dockerfile: Path) -> str:
    try:
        return BASES[reference]
    except KeyError:
        known = " or ".join(BASES)
        raise Problem(f"{dockerfile}: FROM {reference} cannot be built locally; build it from {known}") from None
