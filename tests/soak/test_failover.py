"""The primary lost in each of three ways, ten times under write load: nothing acknowledged is lost, and how long it takes."""

import statistics

import pytest

from tests.cluster.conftest import Node
from tests.cluster.database import Database, fail_over
from tests.cluster.test_failover import LIMITS

TIMES = 10
MEDIANS = {"killed": 8.0, "deleted": 8.0, "frozen": 45.0}


@pytest.mark.parametrize("fault", LIMITS)
def test_a_primary_lost_ten_times(node: Node, fault: str) -> None:
    database = Database(node)
    gaps = [fail_over(database, fault, f"soak_{fault}") for _time in range(TIMES)]
    print(
        f"\n{fault}: no write for {', '.join(f'{gap:.1f}' for gap in gaps)} s, median {statistics.median(gaps):.1f} s"
    )
    assert max(gaps) <= LIMITS[fault]
    assert statistics.median(gaps) <= MEDIANS[fault]
