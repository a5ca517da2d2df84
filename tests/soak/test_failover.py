"""The primary lost in each of three ways, ten times under write load: nothing acknowledged is lost, and how long it takes."""

import pytest

from bench.failover import LIMITS, lost
from tests.cluster.conftest import Node
from tests.cluster.database import Database


@pytest.mark.parametrize("fault", LIMITS)
def test_a_primary_lost_ten_times(node: Node, fault: str) -> None:
    results = lost(Database(node), fault)
    print("", *results, sep="\n")
    assert all(result.passed for result in results), [str(result) for result in results]
