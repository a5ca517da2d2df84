"""The API against real servers: what it refuses, and what it says when it cannot take a job."""

import threading
from collections.abc import Generator
from typing import Any

import pytest

from tests.processes import Part, eventually
from tests.servers.workload_platform import Platform
from workload.app.jobs import Kind
from workload.app.queue import Queue

pytest_plugins = ["tests.servers.workload_fixtures"]


@pytest.fixture(scope="module")
def process(servers: Platform) -> Generator[Part]:
    with servers.part("api") as part:
        yield part


@pytest.fixture
def api(process: Part, platform: Platform) -> Part:
    """Lend the API, which has found the servers again if an earlier test stopped them."""
    assert platform.redis.process is not None
    eventually(process.ready, "the API is ready")
    eventually(lambda: set(process.ask("/readyz").json.values()) == {"ok"}, "all its dependencies answer")
    return process


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"url": "http://127.0.0.1/"}, 422),
        ({"url": "http://postgres.data.svc.cluster.local/"}, 422),
        ({"url": "https://user:secret@example.org/"}, 422),
        ({"url": ""}, 422),
        ({"url": "http://example.org/" + "a" * 2048}, 422),
        ({"url": 5}, 422),
        ({}, 422),
        ({"url": "http://localhost/", "more": 1}, 422),
        (b"not json", 422),
        (b"[" * 10_000, 400),
        (b'{"url": "http://example.org/\\ud800"}', 422),
        (b'{"url": "http://example.org/\\u0000"}', 422),
        (b'{"url": NaN}', 422),
        (b"x" * 20_000, 413),
    ],
)
def test_bad_input_is_refused_with_a_reason_and_leaves_nothing(
    api: Part, platform: Platform, body: Any, status: int
) -> None:
    answer = api.ask("/api/jobs", body)
    assert answer.status == status
    assert answer.json["detail"]
    assert platform.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_request_id_that_could_forge_a_log_line_is_replaced(api: Part) -> None:
    answer = api.ask("/api/jobs", headers={"X-Request-Id": 'x","level":"error'})
    assert len(answer.headers["x-request-id"]) == 32
    eventually(lambda: api.lines()[-1]["request_id"] == answer.headers["x-request-id"], "its line is logged")


def test_what_is_not_there_is_404_and_what_is_malformed_422(api: Part) -> None:
    assert api.ask("/api/jobs/00000000-0000-0000-0000-000000000000").status == 404
    assert api.ask("/nowhere").status == 404
    assert api.ask("/api/jobs/1").status == 422
    assert api.ask("/api/jobs?limit=101").status == 422
    assert api.metric('http_requests_total{method="GET",route="unmatched",status="404"}') == 1


def test_the_newest_jobs_come_first_and_no_more_than_asked_for(api: Part) -> None:
    submitted = [api.ask("/api/jobs", {"url": f"http://localhost/{n}"}).json["id"] for n in range(3)]
    listed = [job["id"] for job in api.ask("/api/jobs?limit=2").json["jobs"]]
    assert listed == [submitted[2], submitted[1]]


def test_a_full_queue_is_said_and_passes(api: Part, platform: Platform) -> None:
    platform.redis.admin.config_set("maxmemory", "1")
    refused = api.ask("/api/jobs", {"url": "http://localhost/"})
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert platform.sql("SELECT count(*) FROM jobs") == [(0,)]  # or a client that tries again would have two jobs
    platform.redis.admin.config_set("maxmemory", "0")
    assert api.ask("/api/jobs", {"url": "http://localhost/"}).status == 202


def test_without_redis_jobs_are_taken_and_queued_when_it_is_back(api: Part, platform: Platform, queue: Queue) -> None:
    platform.redis.stop()
    taken = api.ask("/api/jobs", {"url": "http://localhost/"})
    assert taken.status == 202
    assert [job["id"] for job in api.ask("/api/jobs").json["jobs"]] == [taken.json["id"]]
    ready = api.ask("/readyz")
    assert (ready.status, ready.json) == (200, {"postgres": "ok", "redis": "unavailable", "memcached": "ok"})
    platform.redis.start()
    with platform.part("scheduler"):
        eventually(lambda: queue.depth(Kind.SCRAPING) == 1, "the job is queued")


def test_a_request_that_meets_a_change_of_the_primary_is_slow_and_does_not_fail(platform: Platform) -> None:
    answers: list[int] = []
    with platform.part("api", POSTGRES_PATIENCE_SECONDS="20") as api:
        eventually(api.ready, "the API is ready")
        platform.postgres.stop()

        def request(body: object) -> None:
            answers.append(api.ask("/api/jobs", body).status)

        clients = [threading.Thread(target=request, args=(body,)) for body in ({"url": "http://localhost/"}, None)]
        for client in clients:
            client.start()
        eventually(lambda: api.ask("/readyz").status == 503, "the API has seen that it is gone")
        assert answers == []
        platform.postgres.start()
        for client in clients:
            client.join()
    assert sorted(answers) == [200, 202]
    assert platform.sql("SELECT count(*) FROM jobs") == [(1,)]


def test_without_postgres_the_api_is_alive_and_not_ready(api: Part, platform: Platform) -> None:
    platform.postgres.stop()
    refused = api.ask("/api/jobs", {"url": "http://localhost/"})
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert (api.ask("/readyz").status, api.ask("/healthz").status) == (503, 200)
    platform.postgres.start()
    eventually(lambda: api.ask("/api/jobs", {"url": "http://localhost/"}).status == 202, "jobs are taken again", 10)


def test_an_error_of_our_own_is_logged_with_the_request_it_hit(api: Part, platform: Platform) -> None:
    platform.sql("ALTER TABLE jobs RENAME COLUMN url TO hidden")
    try:
        answer = api.ask("/api/jobs", headers={"X-Request-Id": "unlucky"})
    finally:
        platform.sql("ALTER TABLE jobs RENAME COLUMN hidden TO url")
    assert (answer.status, answer.headers["x-request-id"]) == (500, "unlucky")
    assert "hidden" not in answer.body.decode()

    def logged() -> bool:
        return any("exception" in line for line in api.lines() if line["request_id"] == "unlucky")

    eventually(logged, "the traceback is logged")


def test_totals_come_from_postgres_when_memcached_has_none(api: Part, platform: Platform) -> None:
    platform.sql("UPDATE totals SET pages = 7")
    eventually(lambda: api.ask("/api/stats").json["source"] == "postgres", "what earlier tests cached is gone", 20)
    assert api.ask("/api/stats").json["totals"]["pages"] == 7
