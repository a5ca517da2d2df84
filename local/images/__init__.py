"""The container images, built on this machine where no registry is reachable.

    built = images.build(binaries, say)          # {image.named: image.reference for image in built}
    images.load(built, "/run/.../containerd.sock", say=say)

`build` costs nothing when nothing has changed: each image is an archive in the cache, keyed by what it is made of.
"""

import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from local import cache
from local.images import archive, builder, recipe
from local.images.containerd import load
from local.images.image import Image
from local.images.recipe import NAMES

__all__ = ["NAMES", "Image", "build", "debian_packages", "load", "of_tools", "references"]

debian_packages: tuple[str, ...] = ("buildah", "debian-archive-keyring", "debootstrap")
_AT_ONCE = 2
_KEPT = 3


def build(binaries: Path, say: Callable[[str], None] = print, names: Sequence[str] = NAMES) -> list[Image]:
    """Return the images of those names, building what is not in the cache; `binaries` holds what `of_tools` copy."""
    images = [_planned(name, named, binaries) for name, named in recipe.references().items() if name in names]
    missing = [image for image in images if not cache.has("images", image.name, image.key)]
    if missing:
        say(f"building {len(missing)} of {len(images)}: {', '.join(image.name for image in missing)}")
        with builder.exclusive(binaries, say) as made, ThreadPoolExecutor(_AT_ONCE) as pool:
            _all([pool.submit(_build, image, made) for image in missing])
            for image in missing:
                _forget(image)
            archive.prune()
            made.forget()
    return images


def _all(builds: Sequence[Future[Path]]) -> None:
    """Wait for the builds; the first failure keeps those that have not begun from beginning, and is raised."""
    ended, waiting = wait(builds, return_when=FIRST_EXCEPTION)
    for unbegun in waiting:
        unbegun.cancel()
    for begun in ended:
        begun.result()


def references() -> dict[str, str]:
    """Return what each of our own images is called when it is built from what is here: name in the program -> tag."""
    ours = [(name, named) for name, named in recipe.references().items() if named.startswith("platform/")]
    return {named: _planned(name, named, Path()).reference for name, named in ours}


def of_tools(name: str) -> bool:
    """Tell whether an image carries one of our Go tools; the others can be built before the tools are."""
    return any(source.startswith(recipe.BINARIES) for source in recipe.read(name).sources)


def _planned(name: str, named: str, binaries: Path) -> Image:
    key = recipe.key(name, named, binaries)
    reference = f"{named}-{key[:12]}" if named.startswith("platform/") else named
    place = cache.ROOT / "images" / f"{name}-{key}"
    return Image(name=name, reference=reference, archive=place, named=named, key=key)


def _build(image: Image, made: builder.Builder) -> Path:
    return cache.entry("images", image.name, image.key, lambda place: made.archive(image, place))


def _forget(image: Image) -> None:
    """Remove what killed builds of an image left, and all but its newest archives: each edit would leave some behind."""
    places = cache.ROOT / "images"
    pattern = f"{image.name}-" + "[0-9a-f]" * 16
    built = sorted(places.glob(pattern), key=lambda place: place.stat().st_mtime, reverse=True)
    for place in (*built[_KEPT:], *places.glob(f".{pattern}.partial")):
        shutil.rmtree(place)
