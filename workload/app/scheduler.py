"""Scrapes known sites again and puts back what fell out of the queue. Of several, the one with the lease acts."""

import logging
import os
import socket
from collections.abc import Iterable
from threading import Event
from uuid import UUID

from workload.app import log, metrics
from workload.app.database import UNAVAILABLE, Database
from workload.app.health import Readiness, serve
from workload.app.jobs import Kind, Waiting
from workload.app.queue import Queue, QueueUnavailable
from workload.app.settings import Postgres, Redis, Schedule, Server
from workload.app.store import Store

LEASE = "scheduler"
BATCH = 500

logger = logging.getLogger(__name__)


class Scheduler:
    """One of the schedulers; `holder` is its name in the lease."""

    def __init__(self, store: Store, queue: Queue, settings: Schedule, holder: str) -> None:
        self._store = store
        self._queue = queue
        self._settings = settings
        self._holder = holder

    def run(self, stop: Event) -> None:
        """Tick until told to stop, then give the lease back."""
        while not stop.is_set():
            try:
                self.tick()
            except (QueueUnavailable, *UNAVAILABLE) as problem:
                logger.warning("waiting for a dependency", extra={"problem": str(problem)})
            except Exception:
                logger.exception("unexpected error; the next tick tries again")
            stop.wait(self._settings.scheduler_tick_seconds)
        try:
            self._store.release(LEASE, self._holder)  # so that another one need not wait for the lease to run out
        except UNAVAILABLE as problem:
            logger.warning("the lease is left to run out", extra={"problem": str(problem)})
        metrics.ACTIVE.set(0)

    def tick(self) -> bool:
        """Do one round of work if this scheduler holds the lease, and return whether it does."""
        metrics.ACTIVE.set(0)
        if not self._store.lease(LEASE, self._holder, self._settings.scheduler_lease_seconds):
            return False
        metrics.ACTIVE.set(1)
        self._rescrape()
        self._sweep()
        self._tidy()
        return True

    def _rescrape(self) -> None:
        for job in self._store.due(BATCH, self._settings.rescrape_after_seconds):
            self._put(job.stage, job.id, job.request_id)
            with log.request(job.request_id):
                logger.info("scraped again", extra={"job": str(job.id)})

    def _sweep(self) -> None:
        """Find the jobs without a message: a crash came between Postgres and the queue, or the queue came back empty."""
        settings = self._settings
        unseen = self._store.unseen(settings.sweep_after_seconds, settings.unqueued_after_seconds, BATCH)
        for kind in Kind:
            waiting = [job for job in unseen if job.stage is kind]
            held = self._queue.holds(kind, [job.message_id for job in waiting if job.message_id])
            self._store.seen([job.id for job in waiting if job.message_id in held])
            self._put_back(job for job in waiting if job.message_id not in held)

    def _put_back(self, lost: Iterable[Waiting]) -> None:
        for job in lost:
            self._put(job.stage, job.id, job.request_id)
            metrics.SWEPT.labels(job.stage).inc()
            with log.request(job.request_id):
                logger.warning("put back into the queue", extra={"job": str(job.id), "kind": job.stage})

    def _put(self, kind: Kind, job_id: UUID, request_id: str) -> None:
        self._store.announced(job_id, kind, self._queue.put(kind, job_id, request_id))

    def _tidy(self) -> None:
        self._store.forget(self._settings.keep_jobs_seconds, BATCH)
        for kind in Kind:
            self._queue.forget_consumers(kind)
            metrics.DEPTH.labels(kind).set(self._queue.depth(kind))


def main(stop: Event) -> None:
    """Run a scheduler until told to stop."""
    settings, server = Schedule.read(), Server.read()
    database = Database(Postgres.read(), "scheduler")
    store, queue = Store(database), Queue(Redis.read())
    database.open()
    # Ready means able to take over, so the one that waits is ready too.
    health = serve(server.port, Readiness({"postgres": store.check, "redis": queue.check}))
    logger.info("started")
    Scheduler(store, queue, settings, f"{socket.gethostname()}-{os.getpid()}").run(stop)
    health.shutdown()
    queue.close()
    database.close()
    logger.info("stopped")
