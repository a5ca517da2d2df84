"""A migration that is wrong: it is tried for two minutes, then `up` says why, and the old version has served all the time."""

from collections.abc import Generator
from typing import Any

import pytest

from local.problem import Problem
from tests.cluster import site
from tests.cluster.conftest import Platform, with_settings
from tests.cluster.database import Database
from tests.cluster.load import load


@pytest.fixture(scope="module", autouse=True)
def _site(platform: Platform) -> Generator[None]:
    site.deploy(platform.node)
    yield
    site.remove(platform.node)


def test_a_migration_that_fails_leaves_the_old_version_serving(platform: Platform) -> None:
    """The database says that it is at a revision which the image does not have, as after a rollback of the image alone."""
    node = platform.node
    database = Database(node)
    ((revision,),) = database.query("SELECT version_num FROM alembic_version", "migration")

    def template() -> Any:
        return node.get("deployment", "api", "--namespace=app")["spec"]["template"]

    before = template()
    database.query("UPDATE alembic_version SET version_num = 'of a later release'", "migration")
    try:
        with load(platform), pytest.raises(Problem) as failed:
            with_settings(platform, api={"memory": "200Mi"}).up()
    finally:
        database.query(f"UPDATE alembic_version SET version_num = '{revision}'", "migration")
    assert "job migration-" in str(failed.value)
    assert "Can't locate revision identified by 'of a later release'" in str(failed.value)
    assert template() == before
    platform.engine().up()
    assert platform.engine().changes() == []
