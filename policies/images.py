"""Images: every reference that an object holds, what a reference says, and `images.yaml`, which says what may run."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml

from policies.containers import containers, has_pods, under, volumes
from policies.rule import Manifest, Unreadable, at

FILE = Path(__file__).with_suffix(".yaml")

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAMED = re.compile(
    rf"(?P<repository>{_PART}(?:/{_PART})*)(?::(?P<tag>[a-zA-Z0-9_][a-zA-Z0-9_.-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?"
)
_HUB = "docker.io"
_MOVING = re.compile(
    r"(?:latest|stable|edge|main|mainline|master|trunk|head|nightly|dev|devel|develop|testing|unstable|canary|rolling|current"
    r"|development|snapshot|lts|next)(?![a-z0-9])"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """An image's reference, completed as a container runtime completes it."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def name(self) -> str:
        """The registry and the repository."""
        return f"{self.registry}/{self.repository}"

    @property
    def moves(self) -> bool:
        """Whether it may be another image tomorrow: it has no digest, and a tag that is a word or none at all."""
        return not self.digest and (not re.search(r"[0-9]", self.tag) or bool(_MOVING.match(self.tag.lower())))

    def below(self, path: str) -> bool:
        """Return whether it is a repository, or one below a path of repositories."""
        return f"{self.name}/".startswith(f"{path}/")

    def ends_with(self, path: str) -> bool:
        """Return whether the last parts of its name are those of a path."""
        return f"/{self.name}".endswith(f"/{path}")


def reference(text: Any) -> Reference | None:
    """Return what an image's reference says; None if it is none."""
    if not isinstance(text, str):
        return None
    registry, slash, rest = text.partition("/")
    if not slash or not (re.search(r"[.:]", registry) or registry == "localhost"):
        registry, rest = _HUB, text
    found = _NAMED.fullmatch(rest)
    if found is None or not re.fullmatch(_REGISTRY, registry):
        return None
    registry, repository = (
        registry.removeprefix("index.") if registry == f"index.{_HUB}" else registry,
        found["repository"],
    )
    if registry == _HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry, repository, found["tag"] or "", found["digest"] or "")


def images(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    """Yield what each container and volume of an object takes for its image, None for nothing, with the path.

    In a custom resource whatever is called an image is one: an operator runs it.
    """
    seen = set[str]()
    for container in containers(manifest):
        seen.add(path := f"{container.path}.image")
        yield path, at(container.spec, "image")
    for path, volume in volumes(manifest):
        if at(volume, "image") is not None:
            seen |= {f"{path}.image", f"{path}.image.reference"}
            yield f"{path}.image.reference", at(volume, "image.reference")
    if "." in str(at(manifest, "apiVersion", "")) and manifest.get("kind") != "CustomResourceDefinition":
        yield from ((path, value) for path, value in _named(manifest, "") if path not in seen)


def has_images(manifest: Manifest) -> bool:
    """Return whether an object names images, or has pods, which need some."""
    return has_pods(manifest) or any(True for _image in images(manifest))


@cache
def listed(part: str) -> Mapping[str, str]:
    """Return a part of `images.yaml`: paths, each with why it is there."""
    return cast("dict[str, dict[str, str]]", yaml.safe_load(FILE.read_text()))[part]


def _named(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in cast("Manifest", value).items():
            if key in ("image", "imageName") and isinstance(inner, (str, Unreadable)):
                yield under(path, key), at({"image": inner}, "image")
            elif key in ("reference", "url") and path.rpartition(".")[2] == "image":
                text = at({key: inner}, key)
                yield under(path, key), text.removeprefix("oci://") if isinstance(text, str) else text
            else:
                yield from _named(inner, under(path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(cast("list[Any]", value)):
            yield from _named(inner, f"{path}[{index}]")
