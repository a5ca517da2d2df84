"""Building costs nothing when nothing changed, says what is wrong before it begins, and shares what images share."""

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from local import cache, command, images
from local.images import archive, builder, containerd, host, recipe
from local.images.image import Image
from local.problem import Problem


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cache"
    monkeypatch.setattr(cache, "ROOT", root)
    monkeypatch.setattr(builder, "_STORAGE", root / "buildah")
    return root


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Return a function that puts a shell script on PATH; what it is called with is appended to the file it returns."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def put(name: str, script: str) -> Path:
        calls = tmp_path / f"{name}.calls"
        (folder / name).write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{script}\n')
        (folder / name).chmod(0o755)
        return calls

    return put


def pushed(folder: Path, *layers: bytes) -> Path:
    """Return what `buildah push dir:` leaves of an image with those layers."""
    folder.mkdir()
    digests: list[str] = []
    for content in (b"{}", *layers):
        digest = hashlib.sha256(content).hexdigest()
        (folder / digest).write_bytes(content)
        digests.append(f"sha256:{digest}")
    config, *rest = digests
    manifest = {"schemaVersion": 2, "config": {"digest": config}, "layers": [{"digest": layer} for layer in rest]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def built(tmp_path: Path, name: str, *layers: bytes) -> Image:
    place = cache.ROOT / "images" / f"{name}-{'0' * 16}"
    archive.write(pushed(tmp_path / f"pushed-{name}", *layers), place, f"docker.io/platform/{name}:1")
    return Image(name=name, reference=f"platform/{name}:1", archive=place, named=f"platform/{name}:1", key="0" * 16)


def fill(place: Path) -> None:
    (place / "index.json").write_text("{}")


def ready(names: tuple[str, ...], binaries: Path) -> None:
    for name, named in recipe.references().items():
        if name in names:
            key = recipe.key(name, named, binaries)
            cache.entry("images", name, key, fill)


def test_when_nothing_has_changed_no_program_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("api", "redis", "pause")
    ready(names, tmp_path)

    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a program was run")

    monkeypatch.setattr(command, "run", refuse)
    monkeypatch.setattr(command, "output", refuse)
    said: list[str] = []
    found = {image.name: image for image in images.build(tmp_path, said.append, names)}
    assert said == []
    assert set(found) == set(names)
    assert found["api"].reference == f"{found['api'].named}-{found['api'].key[:12]}"
    assert found["redis"].reference == found["redis"].named
    assert all(image.archive.is_dir() for image in found.values())


@pytest.mark.parametrize(
    ("user", "path", "needed", "message"),
    [
        (1000, None, 0, "needs root: run the command with sudo"),
        (0, "/nowhere", 0, "buildah is not installed: apt-get install buildah"),
        (0, None, 1024**6, "GiB free, and .* set PLATFORM_CACHE"),
    ],
)
def test_what_the_machine_lacks_is_said_before_anything_is_made(
    *,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Callable[[str, str], Path],
    user: int,
    path: str | None,
    needed: int,
    message: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(builder, "_NEEDED_BYTES", needed)
    for name in ("buildah", "debootstrap"):
        program(name, "exit 1")
    if path:
        monkeypatch.setenv("PATH", path)
    with pytest.raises(Problem, match=message):
        images.build(Path(), lambda _text: None, ("redis",))
    assert not (own_cache / "buildah").exists()
    assert not (own_cache / "images").exists()


def test_a_disk_that_fills_up_is_named(tmp_path: Path, program: Callable[[str, str], Path]) -> None:
    program("buildah", "echo 'write /layer: no space left on device' >&2; exit 1")
    with pytest.raises(Problem, match="the disk is full; free some space, or set PLATFORM_CACHE"):
        builder._logged(["buildah"], tmp_path / "log", tmp_path)


def test_images_share_the_layers_they_have_in_common(tmp_path: Path) -> None:
    one = built(tmp_path, "one", b"base" * 1000, b"one")
    two = built(tmp_path, "two", b"base" * 1000, b"two")
    shared = set(archive.layers(one.archive)) & set(archive.layers(two.archive))
    (digest,) = shared
    blobs = [image.archive / "blobs/sha256" / digest.partition(":")[2] for image in (one, two)]
    assert blobs[0].stat().st_ino == blobs[1].stat().st_ino
    assert gzip.decompress(blobs[0].read_bytes()) == b"base" * 1000
    for image in (one, two):
        for blob in (image.archive / "blobs/sha256").iterdir():
            assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name


def test_the_tar_has_no_layer_that_the_reader_has(tmp_path: Path) -> None:
    image = built(tmp_path, "one", b"base", b"own")
    base, own = archive.layers(image.archive)
    for without, absent in (([], set[str]()), ([base, "sha256:other"], {base}), ([base, own], {base, own})):
        with tarfile.open(fileobj=io.BytesIO(archive.tar(image.archive, without))) as packed:
            names = set(packed.getnames())
        whole = {f"blobs/sha256/{blob.name}" for blob in (image.archive / "blobs/sha256").iterdir()}
        gone = {f"blobs/sha256/{digest.partition(':')[2]}" for digest in absent}
        assert names == {"oci-layout", "index.json"} | (whole - gone)


def test_layers_of_no_image_are_removed(tmp_path: Path, own_cache: Path) -> None:
    one, two = built(tmp_path, "one", b"base", b"one"), built(tmp_path, "two", b"base", b"two")
    shutil.rmtree(one.archive)
    archive.prune()
    kept = {f"sha256:{blob.name}" for blob in (own_cache / "layers").glob("layer-*/" + "[0-9a-f]" * 64)}
    assert kept == set(archive.layers(two.archive))


def test_only_the_newest_archives_of_an_image_stay(own_cache: Path) -> None:
    for age in range(5):
        place = own_cache / "images" / f"api-{age:016x}"
        place.mkdir(parents=True)
        os.utime(place, (1000 - age, 1000 - age))
    (own_cache / "images" / f".api-{7:016x}.partial").mkdir()
    (own_cache / "images" / f"other-{4:016x}").mkdir()
    images._forget(Image("api", "platform/api:1", own_cache, "platform/api:1", "0" * 16))
    left = {place.name for place in (own_cache / "images").iterdir()}
    assert left == {*(f"api-{age:016x}" for age in range(3)), f"other-{4:016x}"}


def test_each_image_is_loaded_once(tmp_path: Path, program: Callable[[str, str], Path]) -> None:
    one, two = built(tmp_path, "one", b"base", b"one"), built(tmp_path, "two", b"base", b"two")
    labels = f"io.cri-containerd.image=managed,{containerd._LABEL}={one.key}"
    listing = (
        f"REF TYPE DIGEST SIZE PLATFORMS LABELS\ndocker.io/platform/one:1 v2 sha256:0 1.0 MiB linux/amd64 {labels}"
    )
    calls = program(
        "ctr",
        f"""case "$*" in
            *"images list") printf '{listing}\\ndocker.io/platform/two:1 v2 sha256:0 1.0 MiB linux/amd64 -\\n' ;;
            *"content list"*) echo {archive.layers(one.archive)[0]} ;;
            *"images import"*) cat > {tmp_path}/imported.tar ;;
        esac""",
    )
    said: list[str] = []
    images.load([one, two], tmp_path / "socket", say=said.append)
    assert said == ["loading platform/two:1"]
    with tarfile.open(tmp_path / "imported.tar") as imported:
        names = imported.getnames()
    base, own = (f"blobs/sha256/{digest.partition(':')[2]}" for digest in archive.layers(two.archive))
    assert base not in names
    assert own in names
    assert calls.read_text().splitlines()[-1].endswith(f"label docker.io/platform/two:1 {containerd._LABEL}={two.key}")


def test_a_build_borrows_how_the_machine_reaches_its_registries_and_nothing_else(
    tmp_path: Path, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = ["main trixie http://mirror.test/debian/", "main trixie-security http://mirror.test/security/"]
    rows += ["contrib trixie http://mirror.test/debian/", "main trixie-backports http://mirror.test/debian/"]
    program("apt-get", "\n".join(f"echo '{row}'" for row in rows))
    dump = ['Acquire::http::Proxy "http://proxy.test:3128";', 'Acquire::cdrom::mount "/media";', 'Acquire::https "";']
    program("apt-config", "\n".join(f"echo '{row}'" for row in dump))
    program("pip3", "echo \"global.index-url='http://index.test/simple'\"; echo \"global.target='/elsewhere'\"")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text("trusted")
    monkeypatch.setenv("PIP_CERT", str(trusted))
    monkeypatch.setenv("PIP_TIMEOUT", "99")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    host._pip_settings.cache_clear()
    volumes = host.volumes(tmp_path / "volumes", "bookworm")
    host._pip_settings.cache_clear()
    apt, pip = volumes[Path("/etc/apt")], volumes[Path("/etc/xdg/pip")]
    assert [line.split("] ")[1] for line in (apt / "sources.list").read_text().splitlines()] == [
        "http://mirror.test/debian/ bookworm main",
        "http://mirror.test/security/ bookworm-security main",
    ]
    settings = (apt / "apt.conf.d/host").read_text()
    assert 'Acquire::http::Proxy "http://proxy.test:3128";' in settings
    assert "cdrom" not in settings
    assert (pip / "pip.conf").read_text().splitlines()[1:3] == ["index-url = http://index.test/simple", "timeout = 99"]
    assert "elsewhere" not in (pip / "pip.conf").read_text()
    assert (pip / "certificates.crt").read_text() == (apt / "certificates.crt").read_text() == "trusted"
    assert host.mirror("bookworm") == "http://mirror.test/debian/"


def test_a_machine_without_a_debian_archive_is_told_so(program: Callable[[str, str], Path]) -> None:
    program("apt-get", "exit 0")
    with pytest.raises(Problem, match="run apt-get update"):
        host.mirror("bookworm")
