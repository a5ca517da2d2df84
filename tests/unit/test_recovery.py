"""What the objects say of what may be lost, and of what brings it back."""

from typing import Any

import pytest

from tests.render import STACKS, committed

POINT, NOT_NEEDED = "platform/recovery-point", "platform/backup-not-needed"
OF, ROLE = "platform/recovers", "platform/recovery"


def annotations(manifest: dict[str, Any]) -> dict[str, str]:
    return manifest["metadata"]["annotations"]


@pytest.mark.parametrize("stack", STACKS)
def test_each_schedule_says_what_it_is_for(stack: str) -> None:
    said = {name: annotations(each) for name, each in committed(stack).of("CronJob").items()}
    assert {name: (each.get(OF), each.get(ROLE)) for name, each in said.items()} == {
        "data/objects-sweep": (None, None),
        "data/postgres-backup-differential": ("postgres", "backup"),
        "data/postgres-backup-full": ("postgres", "backup"),
        "data/postgres-drill": ("postgres", "drill"),
        "data/postgres-snapshots": ("postgres", "snapshot"),
        "data/redis-backup": ("redis", "backup"),
        "data/redis-restore": ("redis", "restore"),
        "data/redis-snapshots": ("redis", "snapshot"),
    }


@pytest.mark.parametrize("stack", STACKS)
def test_each_set_says_what_may_be_lost_of_it(stack: str) -> None:
    said = {name: annotations(each) for name, each in committed(stack).of("StatefulSet").items()}
    assert {name: each.get(POINT) for name, each in said.items()} == {
        "data/objects": None,
        "data/postgres": "5m",
        "data/redis": "6h",
    }
    assert [name for name, each in said.items() if each.get(NOT_NEEDED)] == ["data/objects"]
