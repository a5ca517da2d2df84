"""The API: takes jobs and tells what became of them. A job answered 202 is never lost; one it cannot take gets 503.

A server that is replaced meanwhile makes its answers slow, and none of them fail.
"""

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar
from uuid import UUID, uuid4

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import ASGIApp

from workload.app import log, metrics
from workload.app.addresses import MAX_URL_LENGTH, Guard, Refused, Unresolved
from workload.app.cache import Cache
from workload.app.database import UNAVAILABLE, Database, patiently
from workload.app.health import Readiness
from workload.app.jobs import Job, JobDetail, Kind, Totals
from workload.app.middleware import Requests
from workload.app.queue import Queue, QueueFull, QueueUnavailable
from workload.app.settings import Memcached, Postgres, Redis, Scrape, Server
from workload.app.store import Store

RETRY_AFTER_SECONDS = 5
LOOKUP_SECONDS = 1.0

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Submission(BaseModel):
    """What a client asks for."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=MAX_URL_LENGTH, examples=["https://example.org/"])


class Jobs(BaseModel):
    """The newest jobs first."""

    jobs: list[Job]


class Stats(BaseModel):
    """The totals, and who told."""

    totals: Totals
    source: Literal["memcached", "postgres"]


class Api:
    """The endpoints, over the clients they use."""

    def __init__(self, database: Database, queue: Queue, cache: Cache, guard: Guard, patience_seconds: float) -> None:
        self._database = database
        self._patience = patience_seconds
        self._store = Store(database)
        self._queue = queue
        self._cache = cache
        self._guard = guard
        # Without Redis the API still takes jobs and tells about them.
        self._readiness = Readiness(
            required={"postgres": self._store.check}, reported={"redis": queue.check, "memcached": cache.check}
        )

    def application(self) -> ASGIApp:
        """Return the ASGI application; its clients live as long as it does."""
        app = FastAPI(
            title="Jobs", lifespan=self._lifespan, docs_url=None, redoc_url=None, openapi_url="/api/openapi.json"
        )
        for kind in (QueueUnavailable, *UNAVAILABLE):
            app.add_exception_handler(kind, _busy)
        app.add_exception_handler(RequestValidationError, _malformed)
        app.post("/api/jobs", status_code=202)(self.submit)
        app.get("/api/jobs")(self.newest)
        app.get("/api/jobs/{job_id}")(self.job)
        app.get("/api/stats")(self.stats)
        app.get("/healthz")(self.healthz)
        app.get("/readyz")(self.readyz)
        app.get("/metrics")(self.metrics)
        return Requests(app)

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncGenerator[None]:
        self._database.open()
        yield
        self._cache.close()
        self._queue.close()
        self._database.close()

    def submit(self, submission: Submission, response: Response) -> Job:
        """Take a URL to be scraped, processed and counted."""
        self._refuse_at_the_door(submission.url)
        job_id, request_id = uuid4(), log.request_id.get()
        job = self._patiently(lambda: self._store.add(submission.url, request_id, job_id))
        try:
            self._store.announced(job.id, Kind.SCRAPING, self._queue.put(Kind.SCRAPING, job.id, job.request_id))
        except QueueFull:
            self._patiently(lambda: self._store.withdraw(job.id))  # or the client's next try would be a second job
            raise
        except (QueueUnavailable, *UNAVAILABLE) as problem:
            # Committed: the job is safe. The sweep queues it, at worst a second time, which changes nothing.
            logger.warning("left to the sweep", extra={"job": str(job.id), "problem": str(problem)})
        metrics.SUBMITTED.inc()
        response.headers["Location"] = f"/api/jobs/{job.id}"
        return job

    def newest(self, limit: Annotated[int, Query(ge=1, le=100)] = 20) -> Jobs:
        """List the newest jobs."""
        return Jobs(jobs=self._patiently(lambda: self._store.newest(limit)))

    def job(self, job_id: UUID) -> JobDetail:
        """Tell what became of one job."""
        found = self._patiently(lambda: self._store.job(job_id))
        if found is None:
            raise HTTPException(404, "there is no such job")
        return found

    def stats(self) -> Stats:
        """Tell the totals over all pages."""
        totals = self._cache.get()
        if totals:
            return Stats(totals=totals, source="memcached")
        return Stats(totals=self._patiently(self._store.totals), source="postgres")

    async def healthz(self) -> dict[str, bool]:
        """Answer as long as the process does; not from a thread, which a slow database may have taken all of."""
        return {"alive": True}

    def readyz(self, response: Response) -> dict[str, str]:
        """Tell whether requests can be served, and which dependency is away."""
        ready, checks = self._readiness.answer()
        response.status_code = 200 if ready else 503
        return checks

    def metrics(self) -> Response:
        """Tell Prometheus."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    def _patiently(self, attempt: Callable[[], Result]) -> Result:
        return patiently(attempt, self._patience)

    def _refuse_at_the_door(self, url: str) -> None:
        """Tell the person now what the worker would find out; the worker checks again, at each connection it makes."""
        try:
            target = self._guard.target(url)
            if target.host not in self._guard.allowed_hosts:
                self._guard.addresses(target.host, LOOKUP_SECONDS)
        except Refused as refusal:
            raise HTTPException(422, f"url: {refusal}") from None
        except Unresolved as problem:
            logger.info("the name has no address yet; the worker will try", extra={"problem": str(problem)})


def _busy(_: Request, problem: Exception) -> JSONResponse:
    logger.warning("a dependency is unavailable", extra={"problem": str(problem)})
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
    return JSONResponse({"detail": "not possible at the moment; try again shortly"}, 503, headers)


def _malformed(_: Request, problem: Exception) -> JSONResponse:
    """Say what is wrong and where, without the input: not all of what a client can send can be sent back as JSON."""
    errors: Sequence[Any] = problem.errors() if isinstance(problem, RequestValidationError) else ()
    detail = "; ".join(f"{'.'.join(str(part) for part in error['loc'][1:])}: {error['msg']}" for error in errors)
    return JSONResponse({"detail": detail.encode("ascii", "backslashreplace").decode()}, 422)


def main() -> None:
    """Serve until told to stop: uvicorn then takes no more connections and finishes the requests at hand."""
    server, postgres, queue = Server.read(), Postgres.read(), Queue(Redis.read())
    database, guard = Database(postgres, "api"), Guard(Scrape.read().allowed_hosts)
    api = Api(database, queue, Cache(Memcached.read()), guard, postgres.postgres_patience_seconds)
    uvicorn.run(
        api.application(),
        host="0.0.0.0",  # noqa: S104 - a container's port is for the network
        port=server.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=20,  # longer than a submission waits: for a primary, a last try at it, and the queue
        timeout_keep_alive=75,  # longer than a proxy keeps an idle connection, or it would meet a closed one
    )
