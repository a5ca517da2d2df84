"""What an image is made of decides its key, and every Dockerfile keeps the promises of the platform's images."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from local.images import recipe
from local.problem import Problem

ROOT = Path(__file__).resolve().parents[2]
PYTHON = {"api", "worker", "scheduler"}
FROM_SCRATCH = {"cert-manager-controller", "coredns", "metrics-server"}
DOCKERFILES = sorted(file.parent.name for file in (ROOT / "images").glob("*/Dockerfile"))
RUN_BY_SOMEONE = [name for name in DOCKERFILES if name not in recipe.BASES.values()]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a small repository with the real Dockerfiles and everything that they copy."""
    shutil.copytree(ROOT / "images", tmp_path / "images")
    for name in (
        "workload/app/api.py",
        "workload/frontend/index.html",
        "workload/requirements.lock",
        "build/bin/coredns",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("metrics-server", "cert-manager-controller", "versitygw"):
        (tmp_path / "build/bin" / name).write_text(name)
    (tmp_path / "components").mkdir()
    shutil.copy(ROOT / recipe.VERSIONS, tmp_path / recipe.VERSIONS)
    return tmp_path


def keys(repository: Path) -> dict[str, str]:
    references = recipe.references(repository)
    return {name: recipe.key(name, named, repository / "build/bin", repository) for name, named in references.items()}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("workload/app/api.py", PYTHON),
        ("workload/app/new.py", PYTHON),
        ("workload/requirements.lock", PYTHON),
        ("workload/frontend/index.html", {"frontend"}),
        ("images/python/Dockerfile", PYTHON),
        ("images/worker/Dockerfile", {"worker"}),
        ("images/postgres/logins.sql", {"postgres"}),
        ("images/redis/entrypoint.sh", {"redis"}),
        ("images/snapshots/snapshots.py", {"snapshots"}),
        ("images/debian/Dockerfile", set(recipe.NAMES) - FROM_SCRATCH),
        ("build/bin/coredns", {"coredns"}),
        ("workload/app/__pycache__/api.pyc", set[str]()),
        ("workload/README.md", set[str]()),
    ],
)
def test_a_file_changes_the_images_that_contain_it_and_no_other(repository: Path, file: str, changed: set[str]) -> None:
    before = keys(repository)
    (repository / file).parent.mkdir(exist_ok=True)
    with (repository / file).open("a") as target:
        target.write("# touched\n")
    after = keys(repository)
    assert {name for name in recipe.NAMES if before[name] != after[name]} == changed


def test_a_new_version_changes_the_image_it_names(repository: Path) -> None:
    before = keys(repository)
    versions = repository / recipe.VERSIONS
    versions.write_text(re.sub(r"(library/redis:)[\d.]+", r"\g<1>7.2.99", versions.read_text()))
    after = keys(repository)
    assert {name for name in recipe.NAMES if before[name] != after[name]} == {"redis"}


def test_an_executable_bit_changes_the_key(repository: Path) -> None:
    before = keys(repository)["redis"]
    (repository / "images/redis/entrypoint.sh").chmod(0o644)
    assert keys(repository)["redis"] != before


def test_references_are_read_and_not_imported(repository: Path) -> None:
    versions = repository / recipe.VERSIONS
    versions.write_text(f"import nothing_like_it\nOTHER: str = 'example/other:1'\n{versions.read_text()}")
    references = recipe.references(repository)
    assert tuple(references) == recipe.NAMES
    assert references["redis"].startswith("docker.io/library/redis:")
    assert references["pause"] == "registry.k8s.io/pause:3.10"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("API = 'platform/api:1'\n", "names no image for postgres, frontend"),
        ("REDIS = 'docker.io/library/redis'\n", "must end in a tag"),
        ("REDIS = 'docker.io/library/redis:latest'\n", "must end in a tag"),
        ("REDIS = 'docker.io/library/redis:7@sha256:00'\n", "must end in a tag"),
        ("REDIS = (\n", "cannot be read as Python"),
    ],
)
def test_a_wrong_versions_file_is_named(repository: Path, text: str, message: str) -> None:
    (repository / recipe.VERSIONS).write_text(text)
    with pytest.raises(Problem, match=message) as problem:
        recipe.references(repository)
    assert "versions.py" in str(problem.value)


@pytest.mark.parametrize(
    ("reference", "whole"),
    [
        ("redis:7", "docker.io/library/redis:7"),
        ("platform/api:1", "docker.io/platform/api:1"),
        ("docker.io/library/redis:7", "docker.io/library/redis:7"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("localhost/api:1", "localhost/api:1"),
        ("localhost:5000/api:1", "localhost:5000/api:1"),
    ],
)
def test_references_are_spelled_out_as_containerd_does(reference: str, whole: str) -> None:
    assert recipe.normalised(reference) == whole


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("FROM docker.io/library/alpine:3", "FROM docker.io/library/alpine:3 cannot be built locally; build it from"),
        ("COPY images/redis/missing.sh /", "copies images/redis/missing.sh, which is not in"),
    ],
)
def test_a_dockerfile_that_cannot_be_built_says_why(repository: Path, line: str, message: str) -> None:
    with (repository / "images/redis/Dockerfile").open("a") as target:
        target.write(f"{line}\n")
    with pytest.raises(Problem, match=re.escape(message)):
        recipe.read("redis", repository)


def test_a_missing_binary_and_a_missing_dockerfile_are_named(repository: Path) -> None:
    (repository / "build/bin/coredns").unlink()
    with pytest.raises(Problem, match="coredns is missing: build the tools before"):
        keys(repository)
    with pytest.raises(Problem, match="images/nothing/Dockerfile is missing"):
        recipe.read("nothing", repository)


def test_instructions_survive_comments_and_continuations() -> None:
    text = "# one\nFROM a:1 AS b\nRUN x \\\n  # inside\n  && y\nCOPY --from=b --chown=1:1 /x /y\n"
    assert recipe.instructions(text) == [
        ("FROM", ["a:1", "AS", "b"]),
        ("RUN", ["x    && y"]),
        ("COPY", ["--from=b", "--chown=1:1", "/x", "/y"]),
    ]


def final(name: str) -> list[tuple[str, str]]:
    """Return the instructions of an image's last stage, after those of the base of ours that it builds on."""
    parts = recipe.instructions((ROOT / "images" / name / "Dockerfile").read_text())
    start = max(index for index, (keyword, _words) in enumerate(parts) if keyword == "FROM")
    base = recipe.BASES.get(parts[start][1][0])
    inherited = final(base) if base and base != "debian" else []
    return inherited + [(keyword, " ".join(words)) for keyword, words in parts[start + 1 :]]


def test_every_image_has_a_dockerfile_and_every_dockerfile_an_image() -> None:
    assert set(RUN_BY_SOMEONE) == set(recipe.NAMES)


@pytest.mark.parametrize("name", RUN_BY_SOMEONE)
def test_it_runs_as_a_numbered_user_and_says_how_it_is(name: str) -> None:
    said = dict(final(name))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    assert said["HEALTHCHECK"]
    assert said.get("ENTRYPOINT", said.get("CMD", "")).startswith("["), "a shell would swallow the signals"


@pytest.mark.parametrize("name", DOCKERFILES)
def test_it_is_built_from_what_is_named_and_here(name: str) -> None:
    what = recipe.read(name)
    text = what.dockerfile.read_text()
    for keyword, words in recipe.instructions(text):
        if keyword == "FROM":
            assert words[0] == "scratch" or re.search(r":(?!latest$)[\w.-]+$", words[0])
        if keyword == "ADD":
            assert words == [recipe.ROOT_FILESYSTEM, "/"], "ADD fetches and unpacks: COPY does neither"
    assert not re.search(r"https?://(?!127\.0\.0\.1)|[\w-]\.debian\.org", text)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_what_it_installs_leaves_no_cache_and_no_setuid_program(name: str) -> None:
    parts = recipe.instructions((ROOT / "images" / name / "Dockerfile").read_text())
    start = max(index for index, (keyword, _words) in enumerate(parts) if keyword == "FROM")
    for index, (keyword, words) in enumerate(parts):
        if keyword == "RUN" and "apt-get install" in words[0]:
            assert "--no-install-recommends" in words[0]
            assert "rm -rf /var/lib/apt/lists/*" in words[0]
            if index > start:
                assert "find / -xdev -type f -perm /6000 -exec chmod a-s {} +" in words[0]


@pytest.mark.parametrize("script", sorted((ROOT / "images").glob("*/*.sh")), ids=lambda file: file.parent.name)
def test_entrypoints_are_executable_and_strict(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in script.read_text()
    subprocess.run(["sh", "-n", script], check=True)
