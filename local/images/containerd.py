"""Puts images into a containerd, each once."""

from collections.abc import Callable, Iterable
from pathlib import Path

from local import cache, command
from local.images import archive
from local.images.image import Image
from local.images.recipe import normalised

# Written when the import is complete; upstream's names stay the same while what we build under them changes.
_LABEL = "platform.local/key"


def load(
    images: Iterable[Image],
    address: Path | str,
    namespace: str = "k8s.io",
    say: Callable[[str], None] = print,
) -> None:
    """Import the images that the containerd at `address` does not have yet, or has with other content."""
    control = ("ctr", "--address", str(address), "--namespace", namespace)
    present = loaded(command.output([*control, "images", "list"]))
    log = cache.ROOT / "logs" / "images" / "import.log"
    for image in images:
        reference = normalised(image.reference)
        if present.get(reference) == image.key:
            continue
        say(f"loading {image.reference}")
        contents = command.output([*control, "content", "list", "--quiet"]).split()
        packed = archive.tar(image.archive, without=contents)
        command.run([*control, "images", "import", "-"], log=log, stdin=packed, timeout=300)
        command.run([*control, "images", "label", reference, f"{_LABEL}={image.key}"], log=log)


def loaded(listing: str) -> dict[str, str]:
    """Return the key of each image that `load` has completed, from what `ctr images list` prints."""
    found: dict[str, str] = {}
    for line in listing.splitlines()[1:]:
        reference, *_, labels = line.split()
        for label in labels.split(","):
            name, _, value = label.partition("=")
            if name == _LABEL:
                found[reference] = value
    return found
