"""The images as they were built: no setuid program, nothing of this machine, a numbered user."""

import functools
import json
import tarfile
from pathlib import Path

import pytest

from local import cache, images
from local.images import archive
from local.images.image import Image
from tests.cluster.conftest import Node


@pytest.fixture(scope="module")
def built(node: Node) -> dict[str, Image]:
    """Return the images of this machine's platform by name; they are all in the cache."""
    return {image.name: image for image in images.build(node.binaries, lambda _text: None)}


@functools.cache
def forbidden(layer: Path) -> list[str]:
    """Return the setuid programs and the package sources in a layer; most images share theirs, so each is read once."""
    with tarfile.open(layer, mode="r:gz") as packed:
        return [
            member.name
            for member in packed
            if (member.isfile() and member.mode & 0o6000)
            or (member.name.startswith("etc/apt/sources.list") and not member.isdir())
        ]


@pytest.mark.parametrize("name", images.NAMES)
def test_no_image_has_a_setuid_program_or_this_machines_package_sources(built: dict[str, Image], name: str) -> None:
    blobs = (cache.ROOT / "layers").glob("layer-*/*")
    by_digest = {f"sha256:{blob.name}": blob for blob in blobs}
    assert [found for digest in archive.layers(built[name].archive) for found in forbidden(by_digest[digest])] == []


@pytest.mark.parametrize("name", images.NAMES)
def test_every_image_runs_as_a_numbered_user(built: dict[str, Image], name: str) -> None:
    blobs = built[name].archive / "blobs" / "sha256"
    (entry,) = json.loads((built[name].archive / "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / entry["digest"].partition(":")[2]).read_text())
    user = json.loads((blobs / manifest["config"]["digest"].partition(":")[2]).read_text())["config"]["User"]
    assert int(user.partition(":")[0]) > 0
