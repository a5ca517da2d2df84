"""The queue's two servers: one leads, the other has all it has, and can be made to lead."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster import site
from tests.cluster.conftest import Node, Platform, eventually, with_settings


@pytest.fixture(scope="module", autouse=True)
def _site(platform: Platform) -> Generator[None]:
    site.deploy(platform.node)
    yield
    site.remove(platform.node)


def ask(node: Node, pod: str, *command: str, user: str = "operator") -> str:
    """Run a command of redis-cli in a pod, as `operator`, whose password is in the pod."""
    script = f'REDISCLI_AUTH=$(cat /etc/redis/operator) redis-cli --tls --cacert /etc/tls/ca.crt --user {user} "$@"'
    return node.kubectl("exec", "--namespace=data", pod, "--", "sh", "-c", script, "sh", *command).strip()


def role(node: Node, pod: str) -> list[str]:
    return ask(node, pod, "role").splitlines()


def leads(node: Node, leader: str, follower: str) -> bool:
    """Whether one pod leads and the other is connected to it and up to date."""
    state = role(node, follower)
    return role(node, leader)[0] == "master" and state[0] == "slave" and leader in state[1] and state[3] == "connected"


def test_the_replica_has_what_the_primary_has_and_takes_no_writes(platform: Platform) -> None:
    node = platform.node
    eventually("redis-1 follows redis-0", lambda: leads(node, "redis-0", "redis-1"))
    ask(node, "redis-0", "xadd", "jobs:test", "*", "word", "kept")
    assert ask(node, "redis-0", "wait", "1", "5000") == "1"
    assert "kept" in ask(node, "redis-1", "xrange", "jobs:test", "-", "+")
    assert "READONLY" in ask(node, "redis-1", "xadd", "jobs:test", "*", "word", "refused")
    ask(node, "redis-0", "del", "jobs:test")


def test_a_client_can_do_its_part_and_nothing_else(platform: Platform) -> None:
    for command in (("flushall",), ("config", "get", "*"), ("keys", "*"), ("debug", "sleep", "1"), ("shutdown",)):
        for user in ("producer", "consumer", "keeper", "replica"):
            rights = ask(platform.node, "redis-0", "acl", "dryrun", user, *command)
            assert "no permissions to run" in rights, (user, command, rights)
    assert ask(platform.node, "redis-0", "acl", "dryrun", "producer", "xadd", "jobs:scraping", "*", "a", "b") == "OK"
    assert "no permissions" in ask(
        platform.node, "redis-0", "acl", "dryrun", "producer", "xread", "streams", "jobs:a", "0"
    )
    assert "no permissions" in ask(
        platform.node, "redis-0", "acl", "dryrun", "producer", "xadd", "other", "*", "a", "b"
    )


def test_the_replica_is_promoted_by_one_setting_and_no_job_is_lost(platform: Platform) -> None:
    node = platform.node
    before = [submit(platform) for _job in range(5)]
    with_settings(platform, redis={"primary": 1}).up()
    eventually("redis-0 follows redis-1", lambda: leads(node, "redis-1", "redis-0"))
    after = [submit(platform) for _job in range(5)]
    for job in (*before, *after):
        eventually(f"job {job} is done", lambda job=job: platform.call(f"/api/jobs/{job}")[1]["state"] == "done", 180)
    platform.engine().up()
    eventually("redis-1 follows redis-0", lambda: leads(node, "redis-0", "redis-1"))
    assert platform.engine().changes() == []


def submit(platform: Platform) -> str:
    def taken() -> Any:
        status, job = platform.call("/api/jobs", {"url": f"{site.URL}/page"})
        assert status == 202, job
        return job["id"]

    return eventually("a job is taken", taken)
