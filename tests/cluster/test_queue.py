"""The queue's two servers: one leads, the other can be made to; killed or full, they cost no job and double none."""

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.cluster import site
from tests.cluster.conftest import Node, Platform, eventually, with_settings
from tests.cluster.database import Database
from tests.cluster.load import all_done

JOBS, CLIENTS = 1000, 8


@pytest.fixture(scope="module", autouse=True)
def _site(platform: Platform) -> Generator[None]:
    site.deploy(platform.node)
    yield
    site.remove(platform.node)


def ask(node: Node, pod: str, *command: str, stdin: str | None = None) -> str:
    """Run a command of redis-cli in a pod, or a line of `stdin` each, as `operator`, whose password is in the pod."""
    script = 'REDISCLI_AUTH=$(cat /etc/redis/operator) redis-cli --tls --cacert /etc/tls/ca.crt --user operator "$@"'
    where = ["exec", "--namespace=data", pod, *(["--stdin"] if stdin else [])]
    return node.kubectl(*where, "--", "sh", "-c", script, "sh", *command, stdin=stdin).strip()


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
    nobody = ("flushall", "config get *", "keys *", "debug sleep 1", "shutdown")
    users = ("producer", "consumer", "keeper", "replica", "backups", "restorer")
    answers = {f"{user} {command}": "no permissions to run" for command in nobody for user in users}
    answers["producer xread streams jobs:a 0"] = "no permissions"
    answers["producer xadd other * a b"] = "no permissions"
    answers["producer xadd jobs:scraping * a b"] = "OK"
    said = ask(platform.node, "redis-0", stdin="".join(f"acl dryrun {tried}\n" for tried in answers)).splitlines()
    for (tried, expected), answer in zip(answers.items(), said, strict=True):
        assert answer == "OK" if expected == "OK" else expected in answer, (tried, answer)


def test_the_primary_killed_amid_a_thousand_jobs_loses_none_and_doubles_no_effect(platform: Platform) -> None:
    database = Database(platform.node)
    before = uncounted(database)
    (leader,) = [pod for pod in platform.node.pods("data", "redis") if pod["metadata"]["name"] == "redis-0"]
    server = platform.node.process(leader)
    with ThreadPoolExecutor(CLIENTS) as clients:
        submitted = [clients.submit(submit, platform) for _job in range(JOBS)]
        eventually("half of the jobs are taken", lambda: sum(job.done() for job in submitted) > JOBS // 2)
        os.kill(server, signal.SIGKILL)
        jobs = [job.result() for job in submitted]
    assert len(set(jobs)) == JOBS
    all_done(platform, jobs, 180)
    listed = ", ".join(f"'{job}'" for job in jobs)
    for effect in ("pages", "extracts", "counted"):
        assert database.query(f"SELECT count(*) FROM {effect} WHERE job_id IN ({listed})") == [(JOBS,)], effect
    assert uncounted(database) == before


def uncounted(database: Database) -> list[tuple[Any, ...]]:
    """Return what the totals say beyond the jobs that are counted: the same at any time, if each was added once."""
    return database.query("""
        SELECT totals.pages - found.pages, totals.words - found.words, totals.links - found.links,
               totals.bytes - found.bytes
        FROM totals, (SELECT count(*) AS pages, coalesce(sum(extracts.words), 0) AS words,
                             coalesce(sum(cardinality(extracts.links)), 0) AS links,
                             coalesce(sum(length(pages.body)), 0) AS bytes
                      FROM counted JOIN extracts USING (job_id) JOIN pages USING (job_id)) AS found""")


def test_a_full_queue_is_said_and_what_was_taken_is_done_when_there_is_room(platform: Platform) -> None:
    node = platform.node
    limit = ask(node, "redis-0", "config", "get", "maxmemory").split()[1]
    jobs = [submit(platform, "/slow/5") for _job in range(2)]
    query = f"SELECT stage FROM jobs WHERE id IN ('{jobs[0]}', '{jobs[1]}') AND state = 'running'"
    database = Database(node)
    eventually("both are being scraped", lambda: database.query(query) == [("scraping",)] * 2)
    ask(node, "redis-0", "config", "set", "maxmemory", "1")
    try:
        assert refusal(platform) == (503, "5")
        # Workers end their stage and acknowledge it; what they cannot put into the queue is kept in the database.
        eventually(
            "both are scraped", lambda: database.query(query.replace("running", "queued")) == [("processing",)] * 2
        )
        eventually("both are acknowledged", lambda: ask(node, "redis-0", "xlen", "jobs:scraping") == "0")
        assert ask(node, "redis-0", "xlen", "jobs:processing") == "0"
        assert {platform.call(path)[0] for path in ("/api/jobs", f"/api/jobs/{jobs[0]}", "/api/stats")} == {200}
    finally:
        ask(node, "redis-0", "config", "set", "maxmemory", limit)
    all_done(platform, [*jobs, submit(platform)])


def refusal(platform: Platform) -> tuple[int, str | None]:
    """Submit a job, and return with what status and which `Retry-After` it is answered."""
    body, headers = f'{{"url": "{site.URL}/page"}}'.encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{platform.url}/api/jobs", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, None
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Retry-After"]


def test_the_replica_is_promoted_by_one_setting_and_no_job_is_lost(platform: Platform) -> None:
    node = platform.node
    before = [submit(platform) for _job in range(5)]
    with_settings(platform, redis={"primary": 1}).up()
    eventually("redis-0 follows redis-1", lambda: leads(node, "redis-1", "redis-0"))
    all_done(platform, [*before, *(submit(platform) for _job in range(5))], 180)
    platform.engine().up()
    eventually("redis-1 follows redis-0", lambda: leads(node, "redis-0", "redis-1"))
    assert platform.engine().changes() == []


def submit(platform: Platform, path: str = "/page") -> str:
    status, job = platform.call("/api/jobs", {"url": site.URL + path})
    assert status == 202, job
    return job["id"]
