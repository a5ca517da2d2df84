"""How long nobody can write when the database's primary is lost: in three ways, again and again, while clients write."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from bench.results import Result
from local import node, toolchain
from local.problem import Problem
from tests.cluster.conftest import Node
from tests.cluster.database import Database, fail_over

TIMES = 10


@dataclass(frozen=True)
class Limits:
    """Seconds without an acknowledged write: the median of all times, and the longest."""

    median: float
    longest: float


LIMITS: Mapping[str, Limits] = {
    "killed": Limits(median=8, longest=20),
    "deleted": Limits(median=8, longest=20),
    # It keeps its lease, 20 s (components/patroni.py says why no less), and then the others agree on another.
    "frozen": Limits(median=45, longest=45),
}
"""What is done to the primary: its postmaster killed, its pod deleted, all its processes stopped where they are."""


def failover() -> list[Result]:
    """Lose the primary in three ways, ten times each, under writes; nothing acknowledged may be lost, doubled or reordered."""
    database = servers()
    return [result for fault in LIMITS for result in lost(database, fault)]


def servers() -> Database:
    """Return the database of the stack on this machine's node, or say that there is none."""
    if not node.kubeconfig.exists():
        raise Problem("there is no node: `make up` first, then measure")
    return Database(Node(kubeconfig=node.kubeconfig, binaries=toolchain.build(lambda _text: None)))


def lost(database: Database, fault: str) -> list[Result]:
    """Lose the primary in one way, and return the median and the longest time without an acknowledged write."""
    gaps = {f"{time}": fail_over(database, fault, f"lost_{fault}") for time in range(1, TIMES + 1)}
    limits, name = LIMITS[fault], f"no writes, primary {fault} {TIMES} times"
    return [
        Result(f"{name}: median", statistics.median(gaps.values()), limits.median),
        Result(f"{name}: longest", max(gaps.values()), limits.longest, gaps),
    ]
