"""The platform does what it is for: a submitted page is scraped, processed and counted, whatever dies meanwhile."""

from collections.abc import Generator
from typing import Any

import pytest

from tests.cluster import site
from tests.cluster.conftest import Platform, eventually


@pytest.fixture(scope="module", autouse=True)
def _site(platform: Platform) -> Generator[None]:
    site.deploy(platform.node)
    yield
    site.remove(platform.node)


def submit(platform: Platform, path: str) -> str:
    status, job = platform.call("/api/jobs", {"url": site.URL + path})
    assert status == 202, job
    return job["id"]


def finished(platform: Platform, job: str, seconds: float = 60) -> dict[str, Any]:
    def done() -> dict[str, Any] | None:
        status, found = platform.call(f"/api/jobs/{job}")
        assert status == 200, found
        return found if found["state"] in ("done", "failed", "dead") else None

    return eventually(f"job {job} is done", done, seconds) or {}


def test_the_page_is_served(platform: Platform) -> None:
    status, page = platform.call("/")
    assert status == 200
    assert "<title>" in page


def test_a_submitted_page_is_scraped_processed_and_counted(platform: Platform) -> None:
    before = platform.call("/api/stats")[1]["totals"]["pages"]
    job = finished(platform, submit(platform, "/page"))
    assert job["state"] == "done", job
    assert job["title"] == site.TITLE
    eventually("it is counted", lambda: platform.call("/api/stats")[1]["totals"]["pages"] == before + 1)


def test_a_private_address_is_refused(platform: Platform) -> None:
    for url in ("http://10.96.0.1/", "http://169.254.169.254/latest/", "http://redis.data.svc.cluster.local:6379/"):
        status, answer = platform.call("/api/jobs", {"url": url})
        assert status == 422, (url, answer)


def test_a_worker_killed_in_mid_job_loses_no_job(platform: Platform) -> None:
    jobs = [submit(platform, f"/slow/3?{number}") for number in range(4)]
    eventually(
        "one is being scraped",
        lambda: any(platform.call(f"/api/jobs/{job}")[1]["attempts"] for job in jobs),
    )
    (pod,) = platform.node.pods("app", "worker-scraping")[:1]
    platform.node.kubectl("delete", "pod", pod["metadata"]["name"], "--namespace=app", "--grace-period=0", "--force")
    assert [finished(platform, job, 180)["state"] for job in jobs] == ["done"] * 4
