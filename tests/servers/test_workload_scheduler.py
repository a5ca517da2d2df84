"""The scheduler: exactly one acts, sites are scraped again, and what the queue forgot is put back."""

import signal

from tests.processes import Part, eventually, parts
from tests.servers.workload_platform import Jobs, Platform, threads
from workload.app.jobs import Kind, State

pytest_plugins = ["tests.servers.workload_fixtures"]


def test_of_two_schedulers_exactly_one_is_active(platform: Platform, site: str, jobs: Jobs) -> None:
    # What is due is queued at once, not swept up.
    environment = {**platform.environment, "SWEEP_AFTER_SECONDS": "60", "UNQUEUED_AFTER_SECONDS": "60"}
    with parts(platform.folder, environment, ["scheduler"], ["scheduler"]) as both:

        def active() -> list[Part]:
            return [part for part in both if part.process.poll() is None and part.metric("scheduler_active")]

        eventually(active, "one is active")
        for _ in range(20):
            assert len(active()) <= 1
        holder = eventually(active, "one is active")[0]
        other = both[1 - both.index(holder)]
        holder.process.send_signal(signal.SIGKILL)
        holder.process.wait()
        platform.sql(f"INSERT INTO sites VALUES ('{site}/due', now())")
        eventually(lambda: active() == [other], "the other has taken over")
        eventually(lambda: jobs.queue.depth(Kind.SCRAPING) == 1, "the site that was due has a job")
        other.process.send_signal(signal.SIGTERM)
        assert other.process.wait(10) == 0
    assert platform.sql("SELECT count(*) FROM leases") == [(0,)]  # given back: the next one need not wait
    assert [(job.url, job.state) for job in jobs.store.newest(10)] == [(f"{site}/due", State.QUEUED)]


def test_what_the_queue_forgot_is_put_back(platform: Platform, site: str, jobs: Jobs) -> None:
    never_put = jobs.store.add(f"{site}/never-put", "test")  # a crash between the row and the message
    forgotten = jobs.submit(f"{site}/forgotten")
    platform.redis.admin.flushall()  # a Redis that came back empty
    kept = jobs.submit(f"{site}/kept")
    with platform.part("scheduler") as scheduler:
        eventually(lambda: jobs.queue.depth(Kind.SCRAPING) == 3, "all three jobs are queued")
        # The one that only waits is looked at again and again, and never put a second time.
        query = f"SELECT seen_at FROM jobs WHERE id = '{kept.id}'"
        before = platform.sql(query)
        eventually(lambda: platform.sql(query) != before, "it was seen")
        assert jobs.queue.depth(Kind.SCRAPING) == 3
        assert scheduler.metric('jobs_requeued_total{kind="scraping"}') == 2
        with threads(jobs):
            for job in (never_put, forgotten, kept):
                jobs.reaches(job, lambda now: now.state is State.DONE)
    assert jobs.store.totals().pages == 3


def test_a_job_that_was_never_put_there_does_not_wait_like_one_that_may_only_be_late(
    platform: Platform, site: str, jobs: Jobs
) -> None:
    late = jobs.submit(f"{site}/late")
    never_put = jobs.store.add(f"{site}/never-put", "test")
    platform.redis.admin.flushall()
    unseen = jobs.store.unseen(60, 0.001, 10)
    assert [waiting.id for waiting in unseen] == [never_put.id]
    assert {waiting.id for waiting in jobs.store.unseen(0.001, 0.001, 10)} == {never_put.id, late.id}


def test_a_job_lost_between_two_stages_is_found(platform: Platform, site: str, jobs: Jobs) -> None:
    job = jobs.submit(f"{site}/page")
    with threads(jobs, Kind.SCRAPING):
        jobs.reaches(job, lambda now: now.stage is Kind.PROCESSING)
        eventually(lambda: jobs.queue.depth(Kind.PROCESSING) == 1, "it is queued for the next stage")
    platform.redis.admin.delete("jobs:processing")
    with platform.part("scheduler"), threads(jobs):
        jobs.reaches(job, lambda now: now.state is State.DONE)
