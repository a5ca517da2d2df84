"""The archive of an image: a folder in the OCI layout, holding each layer compressed once for all images that share it.

Three images with the same layers cost the disk, the compressor and the node's containerd one set of layers. The manifest and
configuration are Docker's, because OCI's have no healthcheck.
"""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from local import cache

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def write(pushed: Path, target: Path, reference: str) -> None:
    """Write to `target` the image that buildah pushed, uncompressed, to the folder `pushed`; its name is `reference`."""
    blobs = target / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    manifest: dict[str, Any] = json.loads((pushed / "manifest.json").read_text())
    configuration = _hex(manifest["config"]["digest"])
    shutil.copy(pushed / configuration, blobs / configuration)
    layers: list[dict[str, Any]] = []
    for layer in manifest["layers"]:
        blob = _compressed(pushed / _hex(layer["digest"]))
        if not (blobs / blob.name).exists():
            os.link(blob, blobs / blob.name)
        layers.append({"mediaType": _LAYER, "digest": f"sha256:{blob.name}", "size": blob.stat().st_size})
    text = json.dumps({**manifest, "mediaType": _MANIFEST, "layers": layers}).encode()
    digest = hashlib.sha256(text).hexdigest()
    (blobs / digest).write_bytes(text)
    entry = {
        "mediaType": _MANIFEST,
        "digest": f"sha256:{digest}",
        "size": len(text),
        "annotations": {"io.containerd.image.name": reference},
    }
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (target / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def layers(archive: Path) -> list[str]:
    """Return the digests of the image's layers, each as `sha256:…`."""
    (entry,) = json.loads((archive / "index.json").read_text())["manifests"]
    manifest = json.loads((archive / "blobs" / "sha256" / _hex(entry["digest"])).read_text())
    return [layer["digest"] for layer in manifest["layers"]]


def tar(archive: Path, without: Collection[str] = ()) -> bytes:
    """Return the archive as one tar file, leaving out the layers in `without`, which the reader has already."""
    left_out = {_hex(digest) for digest in set(without).intersection(layers(archive))}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as target:
        for name in ("oci-layout", "index.json"):
            target.add(archive / name, name)
        for blob in sorted((archive / "blobs" / "sha256").iterdir()):
            if blob.name not in left_out:
                target.add(blob, f"blobs/sha256/{blob.name}")
    return packed.getvalue()


def prune() -> None:
    """Remove the compressed layers that no archive has any more."""
    for blob in (cache.ROOT / "layers").glob("layer-*/" + "[0-9a-f]" * 64):
        if blob.stat().st_nlink == 1:
            shutil.rmtree(blob.parent)


def _compressed(layer: Path) -> Path:
    def compress(directory: Path) -> None:
        partial = directory / "partial"
        # Without a name and a time in it, the same layer has the same digest on every machine.
        with (
            layer.open("rb") as source,
            partial.open("wb") as raw,
            gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as target,
        ):
            shutil.copyfileobj(source, target, 1024**2)
        with partial.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        partial.rename(directory / digest)

    entry = cache.entry("layers", "layer", layer.name[:32], compress)
    return next(blob for blob in entry.iterdir() if len(blob.name) == 64)


def _hex(digest: str) -> str:
    return digest.partition(":")[2]
