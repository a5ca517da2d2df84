"""Jobs on their way through real servers and real processes: none is lost, and none counts twice."""

import signal
from uuid import UUID

import pytest

from tests.processes import eventually, parts
from tests.servers.workload_platform import PAGE, Jobs, Platform, Site, threads
from workload.app.jobs import Kind, State

pytest_plugins = ["tests.servers.workload_fixtures"]


def test_a_job_goes_from_the_api_through_the_workers_into_the_totals(platform: Platform, site: str) -> None:
    processes = [("api",), *(("worker", kind) for kind in Kind), ("scheduler",)]
    with parts(platform.folder, platform.environment, *processes) as (api, *workers, scheduler):
        submitted = api.ask("/api/jobs", {"url": f"{site}/page"}, {"X-Request-Id": "edge-42"})
        assert (submitted.status, submitted.headers["x-request-id"]) == (202, "edge-42"), submitted.body
        location = submitted.headers["location"]
        assert location == f"/api/jobs/{submitted.json['id']}"

        eventually(lambda: api.ask(location).json["state"] == "done", "the job is done")
        found = api.ask(location).json
        assert (found["title"], found["words"], found["status"], found["request_id"]) == ("A page", 5, 200, "edge-42")
        assert found["links"] == [f"{site}/other"]
        eventually(lambda: api.ask("/api/stats").json["source"] == "memcached", "the totals come from Memcached")
        totals = {"pages": 1, "words": 5, "links": 1, "bytes": len(PAGE)}
        assert api.ask("/api/stats").json["totals"] == totals
        assert [job["id"] for job in api.ask("/api/jobs").json["jobs"]] == [submitted.json["id"]]

        for process in (api, *workers):
            assert any(line["request_id"] == "edge-42" for line in process.lines()), process.log.read_text()
        for process in (api, *workers, scheduler):
            assert process.peak_mebibytes() < 100
        assert workers[0].metric('jobs_attempts_total{kind="scraping",outcome="done"}') == 1
        assert api.metric('http_requests_total{method="GET",route="/api/jobs/{job_id}",status="200"}') > 0
        # Counted at the scheduler's last tick, which may have been while the job was queued.
        eventually(lambda: scheduler.metric('queue_depth{kind="scraping"}') == 0, "the queue is seen to be empty")
    assert [process.process.returncode for process in (api, *workers, scheduler)] == [0] * 5


def test_a_killed_worker_loses_no_job_and_the_job_counts_once(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/slow")
    with platform.part("worker", "scraping") as victim:
        eventually(lambda: Site.asked == ["/slow"], "the worker is in mid-job")
        victim.process.send_signal(signal.SIGKILL)
        victim.process.wait()
    assert jobs.get(job.id).state is State.RUNNING
    Site.gate.set()
    with threads(jobs):
        jobs.reaches(job, lambda now: now.state is State.DONE)
        eventually(jobs.empty, "all messages are acknowledged")
    assert Site.asked == ["/slow", "/slow"]
    assert jobs.store.totals().pages == 1


def test_a_worker_that_is_told_to_stop_finishes_its_job(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/slow")
    with platform.part("worker", "scraping") as part:
        eventually(lambda: Site.asked == ["/slow"], "the worker is in mid-job")
        part.process.send_signal(signal.SIGTERM)
        Site.gate.set()
        assert part.process.wait(10) == 0
        assert part.lines()[-1]["message"] == "stopped"
    found = jobs.get(job.id)
    assert (found.stage, found.state) == (Kind.PROCESSING, State.QUEUED)
    assert jobs.queue.depth(Kind.SCRAPING) == 0


def test_a_worker_ends_its_stage_while_the_queue_is_full(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/slow")
    with threads(jobs), platform.part("scheduler"):
        eventually(lambda: Site.asked == ["/slow"], "the worker is in mid-job")
        platform.redis.admin.config_set("maxmemory", "1")
        Site.gate.set()
        jobs.reaches(job, lambda now: now.stage is Kind.PROCESSING)
        eventually(jobs.empty, "the message is acknowledged")
        platform.redis.admin.config_set("maxmemory", "0")
        jobs.reaches(job, lambda now: now.state is State.DONE)
    assert jobs.store.totals().pages == 1


@pytest.mark.parametrize(
    ("path", "ending", "error", "requests"),
    [
        ("/status/500", State.DEAD, "answered 500", 3),
        ("/status/404", State.FAILED, "answered 404", 1),
        ("/inward", State.FAILED, "169.254.169.254 is a link-local", 1),
    ],
)
@pytest.mark.usefixtures("platform")
def test_a_job_that_cannot_succeed_ends_with_a_reason(  # noqa: PLR0917 - fixtures and cases
    site: str, jobs: Jobs, path: str, ending: State, error: str, requests: int
) -> None:
    job = jobs.submit(f"{site}{path}")
    with threads(jobs, Kind.SCRAPING):
        found = jobs.reaches(job, lambda now: now.state is ending)
        eventually(jobs.empty, "the message is gone")
    assert error in (found.error or "")
    assert Site.asked == [path] * requests


def test_a_job_that_kills_its_workers_is_given_up(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/slow")
    platform.sql(f"UPDATE jobs SET attempts = 2 WHERE id = '{job.id}'")  # two workers have died of it
    with platform.part("worker", "scraping") as victim:
        eventually(lambda: Site.asked == ["/slow"], "the last attempt")
        victim.process.kill()
        victim.process.wait()
    with threads(jobs, Kind.SCRAPING):
        found = jobs.reaches(job, lambda now: now.state is State.DEAD)
    assert found.error == "the worker died in each attempt"
    assert Site.asked == ["/slow"]


def test_repeated_messages_change_nothing(site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/page")
    for kind in (*Kind, *Kind):
        jobs.queue.put(kind, job.id, "test")
    jobs.queue.put(Kind.SCRAPING, UUID(int=0), "withdrawn")
    with threads(jobs, count=3):
        jobs.reaches(job, lambda now: now.state is State.DONE)
        eventually(jobs.empty, "all messages are gone")
    assert jobs.store.totals().pages == 1


def test_a_message_that_is_none_of_ours_does_not_stay_in_the_way(platform: Platform, site: str, jobs: Jobs) -> None:
    platform.redis.admin.xadd("jobs:scraping", {"job": "x"})
    job = jobs.submit(f"{site}/page")
    with threads(jobs, Kind.SCRAPING):
        jobs.reaches(job, lambda now: now.stage is Kind.PROCESSING)
    assert jobs.queue.depth(Kind.SCRAPING) == 0


def test_a_worker_starts_before_its_servers_and_outlives_them(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/page")
    platform.postgres.stop()
    with platform.part("worker", "scraping") as part:
        eventually(lambda: part.ask("/healthz").status == 200, "alive")
        assert part.ask("/readyz").status == 503
        platform.postgres.start()
        jobs.reaches(job, lambda now: now.stage is Kind.PROCESSING)
        platform.redis.stop()
        eventually(lambda: part.ask("/readyz").status == 503, "it says that Redis is gone")
        platform.redis.start()
        again = jobs.submit(f"{site}/page")  # Redis came back empty, so the consumer group is gone as well
        jobs.reaches(again, lambda now: now.stage is Kind.PROCESSING)


def test_a_worker_that_lost_a_server_resumes_its_job_at_once(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/slow")
    with platform.part("worker", "scraping", JOB_RETRY_AFTER_SECONDS="600") as part:
        eventually(lambda: Site.asked == ["/slow"], "the worker is in mid-job")
        platform.postgres.stop()
        Site.gate.set()
        eventually(lambda: any("waiting" in line["message"] for line in part.lines()), "it cannot end the stage")
        platform.postgres.start()
        jobs.reaches(job, lambda now: now.stage is Kind.PROCESSING)


def test_a_process_says_which_variable_is_missing(platform: Platform) -> None:
    with platform.part("worker", "scraping", POSTGRES_HOST="") as part:
        assert part.process.wait(20) == 2
        assert [line["message"] for line in part.lines()] == ["POSTGRES_HOST: is not set"]
