"""What the judges find on prod and in the fixtures, asked once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from policies.judge import Stack
from policies.plain import plain
from policies.verdict import Verdict, verdict
from tests.judges import judges
from tests.judges.judges import Flag
from tests.render import Manifest, committed


@pytest.fixture(scope="session")
def prod() -> list[Manifest]:
    """Return what prod renders."""
    return committed("prod").manifests


@pytest.fixture(scope="session")
def flags(prod: list[Manifest], tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Flag]]:
    """Return what is found on prod, by judge."""
    place = tmp_path_factory.mktemp("prod")
    files = judges.written(prod, place)
    found, unread = judges.kube_score(files)
    assert unread == []
    return {"checkov": judges.checkov(place, together=True), "kube-score": found}


@pytest.fixture(scope="session")
def ours(prod: list[Manifest]) -> Verdict:
    """Return what our rules say of the same objects."""
    return verdict("prod", Stack([(plain(manifest), "") for manifest in prod]))


@pytest.fixture(scope="session")
def known(definitions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return what the cluster knows, for kubectl-validate."""
    return judges.known_in(tmp_path_factory.mktemp("known"), definitions)


@pytest.fixture
def refused(known: Path, tmp_path: Path) -> Callable[[list[Manifest]], list[list[str]]]:
    """Return what asks kubectl-validate what is wrong with each of some objects."""

    def ask(manifests: list[Manifest]) -> list[list[str]]:
        found = judges.kubectl_validate(judges.written(manifests, tmp_path), known)
        return [said for _file, said in sorted(found.items())]

    return ask
