"""The servers and the workload's parts as one thing, for the tests: jobs put in, workers run, a site to scrape."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

from tests.processes import REPOSITORY, Part, eventually, part, parts
from tests.servers.workload_servers import PostgresServer, RedisServer
from workload.app import worker
from workload.app.cache import Cache
from workload.app.database import Database
from workload.app.jobs import Job, JobDetail, Kind
from workload.app.queue import Queue
from workload.app.settings import Memcached, Postgres, Work
from workload.app.store import Store

PAGE = b"<title>A page</title><p>five words are on it</p><a href='/other'></a>"
TABLES = "jobs, pages, extracts, counted, sites, leases"


@dataclass
class Platform:
    """The servers, and the environment that the workload's processes get."""

    postgres: PostgresServer
    redis: RedisServer
    folder: Path
    environment: dict[str, str] = field(default_factory=dict[str, str])

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return self.postgres.admin(query, "jobs")

    def part(self, *arguments: str, **environment: str) -> AbstractContextManager[Part]:
        return part(self.folder, {**self.environment, **environment}, *arguments)

    def workers(self, *kinds: Kind) -> AbstractContextManager[list[Part]]:
        return parts(self.folder, self.environment, *(("worker", kind) for kind in kinds or Kind))


def migrate(platform: Platform, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """Run alembic as the platform's Job does."""
    environment = {
        "PATH": os.environ["PATH"],
        "MIGRATION_LOCK_SECONDS": "0.3",
        "ALEMBIC_CONFIG": str(REPOSITORY / "workload/app/migrations/alembic.ini"),
        "PYTHONPATH": str(REPOSITORY),
        **{key: value for key, value in platform.environment.items() if key.startswith("POSTGRES_")},
        "POSTGRES_USERNAME": "migration",
        **extra,
    }
    command = [sys.executable, "-m", "alembic", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd="/")


@contextmanager
def opened(platform: Platform, **environment: str) -> Generator[Store]:
    """Lend a store in this process."""
    database = Database(Postgres.read({**platform.environment, **environment}), "test")
    database.open()
    try:
        yield Store(database)
    finally:
        database.close()


@dataclass
class Jobs:
    """The two places a job is in, and what a test wants to do with it."""

    store: Store
    queue: Queue

    def submit(self, url: str) -> Job:
        job = self.store.add(url, "test")
        self.store.announced(job.id, Kind.SCRAPING, self.queue.put(Kind.SCRAPING, job.id, "test"))
        return job

    def get(self, job_id: UUID) -> JobDetail:
        found = self.store.job(job_id)
        assert found is not None
        return found

    def reaches(self, job: Job, what: Callable[[JobDetail], bool]) -> JobDetail:
        eventually(lambda: what(self.get(job.id)), f"the job is {self.get(job.id)}")
        return self.get(job.id)

    def empty(self) -> bool:
        return not any(self.queue.depth(kind) for kind in Kind)


@contextmanager
def threads(jobs: Jobs, *kinds: Kind, count: int = 1) -> Generator[None]:
    """Run workers of these kinds (or all) in this process, for what does not need them to be killed."""
    stop, cache = threading.Event(), Cache(Memcached.read())
    running: list[threading.Thread] = []
    for kind in kinds or Kind:
        work = worker.Worker(
            kind, worker.stage(kind, jobs.store, cache), jobs.store, jobs.queue, Work.read().job_attempts
        )
        for number in range(count):
            consumer = jobs.queue.consumer(kind, f"test-{number}")
            running.append(threading.Thread(target=work.run, args=(consumer, stop)))
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in running:
            thread.join()
        cache.close()


class Site(BaseHTTPRequestHandler):
    """The site to scrape. `/slow` does not answer before the gate opens."""

    gate = threading.Event()
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/slow":
            self.gate.wait(20)
        status = int(self.path.rpartition("/")[2]) if self.path.startswith("/status/") else 200
        try:
            self.send_response(302 if self.path == "/inward" else status)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(PAGE)))
            self.end_headers()
            self.wfile.write(PAGE)
        except OSError:
            return  # the worker that asked was killed

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Say nothing."""
