"""What a reference says is what a container runtime makes of it; and an image is found wherever an object names one."""

from typing import Any

import pytest

from policies.images import has_images, images, listed, reference
from policies.rule import Manifest, Unreadable, UnreadableError
from tests.render import STACKS, committed

DIGEST = f"sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("redis", "docker.io/library/redis", "", ""),
        ("redis:7.2", "docker.io/library/redis", "7.2", ""),
        ("platform/api:1", "docker.io/platform/api", "1", ""),
        ("docker.io/redis:7", "docker.io/library/redis", "7", ""),
        ("index.docker.io/library/redis:7", "docker.io/library/redis", "7", ""),
        (f"a/b/c:1@{DIGEST}", "docker.io/a/b/c", "1", DIGEST),
        (f"registry.example/b@{DIGEST}", "registry.example/b", "", DIGEST),
        ("registry.example:5000/b:1", "registry.example:5000/b", "1", ""),
        ("registry:5000/b:1", "registry:5000/b", "1", ""),
        ("localhost/b:1", "localhost/b", "1", ""),
        ("[fd00::1]:5000/b:1", "[fd00::1]:5000/b", "1", ""),
        ("registry.example/a__b/c-d.e:V1_2-3", "registry.example/a__b/c-d.e", "V1_2-3", ""),
    ],
)
def test_a_reference_is_completed(text: str, name: str, tag: str, digest: str) -> None:
    found = reference(text)
    assert found
    assert (found.name, found.tag, found.digest) == (name, tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":1",
            "/a:1",
            "a//b:1",
            "a/:1",
            "A/b:1",
            "a:1:2",
            "a:-1",
            "a@sha256:00",
            f"a@md5:{'0' * 32}",
            "a b:1",
            "a:1\n",
        ),
        *("https://registry.example/a:1", "registry_example.a/b:1", "-a.example/b:1", "a..b/c:1", "a.example:x/b:1"),
        *("pl\u0430tform/api:1", f"a@{DIGEST}{'0' * 64}", f"a@{DIGEST.upper()}", None, 1, ["a:1"]),
    ],
)
def test_what_is_no_reference_is_none(text: Any) -> None:
    assert reference(text) is None


@pytest.mark.parametrize(
    ("tag", "moves"),
    [
        *[
            (tag, False)
            for tag in ("1", "v1.2", "1.2-alpine", "RELEASE.2025-09-07T16-13-09Z", "3f2a91c", "development1")
        ],
        *[(tag, True) for tag in ("latest", "Latest", "stable", "stable-alpine3.19", "main-3f2a91c", "edge", "alpine")],
    ],
)
def test_a_tag_that_is_a_word_moves(tag: str, moves: bool) -> None:
    found = reference(f"a:{tag}")
    assert found
    assert found.moves is moves
    pinned = reference(f"a:{tag}@{DIGEST}")
    assert pinned
    assert not pinned.moves


OPERATED: list[tuple[Manifest, dict[str, str | None]]] = [
    ({"image": "a:1"}, {"spec.image": "a:1"}),
    ({"imageName": "a:1"}, {"spec.imageName": "a:1"}),
    ({"containers": [{"image": "a:1"}]}, {"spec.containers[0].image": "a:1"}),
    ({"containers": [{"name": "a"}], "image": "b:1"}, {"spec.containers[0].image": None, "spec.image": "b:1"}),
    ({"parts": [{"code": {"image": {"url": "oci://a:1"}}}]}, {"spec.parts[0].code.image.url": "a:1"}),
    (
        {"containers": [], "volumes": [{"image": {"reference": "a:1"}}]},
        {"spec.volumes[0].image.reference": "a:1"},
    ),
    ({"images": ["a:1"], "url": "a:1", "reference": "a:1"}, {}),
]


@pytest.mark.parametrize(("spec", "found"), OPERATED)
def test_what_an_operator_is_told_to_run_is_an_image(spec: Manifest, found: dict[str, str | None]) -> None:
    manifest = {"apiVersion": "a.example/v1", "kind": "Engine", "spec": spec}
    assert dict(images(manifest)) == found
    assert has_images(manifest) == bool(found)


def test_other_objects_have_no_images() -> None:
    for kind in ("ConfigMap", "Service", "Secret"):
        assert (
            dict(images({"apiVersion": "v1", "kind": kind, "data": {"image": "a:1"}, "spec": {"image": "a:1"}})) == {}
        )


def test_an_operators_resource_that_cannot_be_read_is_not_taken_for_one_without_images() -> None:
    for spec in (Unreadable("spec", "not known yet"), {"image": Unreadable("spec.image", "not known yet")}):
        with pytest.raises(UnreadableError):
            list(images({"apiVersion": "a.example/v1", "kind": "Engine", "spec": spec}))


def test_every_listed_path_is_one_that_a_reference_can_have() -> None:
    for part in ("allowed", "frozen"):
        for path in listed(part):
            found = reference(f"{path}/a:1")
            assert found
            assert found.below(path), path


def test_what_is_allowed_is_needed_by_a_stack() -> None:
    manifests = [manifest for stack in STACKS for manifest in committed(stack).manifests]
    run = [found for manifest in manifests for _path, text in images(manifest) if (found := reference(text))]
    assert [path for path in listed("allowed") if not any(found.below(path) for found in run)] == []
