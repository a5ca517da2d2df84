"""What several of the unit suites share."""

from pathlib import Path

import pytest

from local import cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache of the test's own."""
    place = tmp_path / "cache"
    monkeypatch.setattr(cache, "ROOT", place)
    return place
