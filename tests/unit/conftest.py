"""What several of the unit suites share."""

from dataclasses import replace
from pathlib import Path

import pytest

from components.connections import Peer
from components.object_store import ObjectStore
from local import cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a cache of the test's own."""
    place = tmp_path / "cache"
    monkeypatch.setattr(cache, "ROOT", place)
    return place


@pytest.fixture
def named_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every client of the object store told which account it has, as `ACCOUNT`."""
    known = ObjectStore.account

    def named(store: ObjectStore, user: str) -> Peer:
        peer = known(store, user)
        return replace(peer, env={**peer.env, "ACCOUNT": user})

    monkeypatch.setattr(ObjectStore, "account", named)
