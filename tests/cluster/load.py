"""Clients of the API that never stop: they submit jobs and ask for jobs, lists and totals, and note each answer that is none."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.cluster import site
from tests.cluster.conftest import Platform, eventually
from tests.cluster.database import Database

_PAUSE_SECONDS = 0.05


@dataclass
class Load:
    """What was asked, and what came of it."""

    platform: Platform
    failures: list[str] = field(default_factory=list[str])
    slowest: dict[str, float] = field(default_factory=dict[str, float])
    served: dict[str, int] = field(default_factory=dict[str, int])
    jobs: list[str] = field(default_factory=list[str])

    def ask(self, what: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask once; anything but an answer of 200 or 202 is a failure, the polite 503 too."""
        began = time.monotonic()
        try:
            status, answer = self.platform.call(path, body)
        except OSError as error:
            status, answer = 0, error
        seconds = time.monotonic() - began
        if status not in (200, 202):
            at = datetime.now(UTC).time().isoformat("milliseconds")
            self.failures.append(f"{what}: {status} {answer} at {at} UTC, after {seconds:.2f} s")
            return None
        self.served[what] = self.served.get(what, 0) + 1
        self.slowest[what] = max(self.slowest.get(what, 0.0), seconds)
        return answer

    def submit(self) -> None:
        """Submit a page, and remember the job if it was taken."""
        job = self.ask("submit", "/api/jobs", {"url": f"{site.URL}/page"})
        if job:
            self.jobs.append(job["id"])

    def follow(self) -> None:
        """Ask for the job that was taken last, which must be known from the moment its client was told of it."""
        if self.jobs:
            self.ask("job", f"/api/jobs/{self.jobs[-1]}")


@contextmanager
def load(platform: Platform) -> Generator[Load]:
    """Put the platform under load until the block ends; fail if a request failed or a job that was taken is not done."""
    under = Load(platform)
    stop = threading.Event()
    kinds: list[Callable[[], object]] = [
        under.submit,
        under.follow,
        lambda: under.ask("list", "/api/jobs"),
        lambda: under.ask("totals", "/api/stats"),
        lambda: under.ask("page", "/"),
    ]

    def repeat(kind: Callable[[], object]) -> None:
        while not stop.wait(_PAUSE_SECONDS):
            kind()

    clients = [threading.Thread(target=repeat, args=(kind,)) for kind in kinds]
    for client in clients:
        client.start()
    try:
        yield under
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert under.failures == [], (under.failures, under.slowest, under.served)
    assert all(count > 50 for count in under.served.values()), under.served
    assert len(under.served) == len(kinds), under.served
    all_done(platform, under.jobs)


def all_done(platform: Platform, jobs: list[str], seconds: float = 90) -> None:
    """Await that every job that was taken is done."""
    database = Database(platform.node)
    listed = ", ".join(f"'{job}'" for job in jobs)
    query = f"SELECT count(*) FROM jobs WHERE id IN ({listed}) AND state = 'done'"
    eventually(f"all {len(jobs)} jobs are done", lambda: database.query(query) == [(len(jobs),)], seconds)
