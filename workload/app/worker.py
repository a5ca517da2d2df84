"""Takes jobs of one kind from the queue. One that fails or kills its worker comes again; each takes effect once."""

import logging
import os
import socket
from collections.abc import Callable
from threading import Event, Thread

from workload.app import log, metrics
from workload.app.addresses import Guard, Refused
from workload.app.cache import Cache
from workload.app.database import UNAVAILABLE, Database
from workload.app.extract import extract
from workload.app.fetch import Limits, Unavailable, fetch
from workload.app.health import Readiness, serve
from workload.app.jobs import Job, Kind, State
from workload.app.queue import Consumer, Message, Queue, QueueUnavailable
from workload.app.settings import Memcached, Postgres, Redis, Schedule, Scrape, Server, Work
from workload.app.store import Store

PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)

Stage = Callable[[Job], bool]


class Worker:
    """What one kind of worker does with a message; safe to share between threads."""

    def __init__(self, kind: Kind, stage: Stage, store: Store, queue: Queue, max_attempts: int) -> None:
        self._kind = kind
        self._stage = stage
        self._store = store
        self._queue = queue
        self._max_attempts = max_attempts

    def run(self, consumer: Consumer, stop: Event) -> None:
        """Work until told to stop; the job at hand is finished first."""
        while not stop.is_set():
            try:
                message = consumer.take()
                if message:
                    with log.request(message.request_id):
                        self._handle(consumer, message)
            except (QueueUnavailable, *UNAVAILABLE) as problem:
                # The message, if there was one, is taken again; nothing is lost by waiting for the server.
                logger.warning("waiting for a dependency", extra={"problem": str(problem)})
                consumer.resume()
                stop.wait(PAUSE_SECONDS)
            except Exception:
                logger.exception("unexpected error; the job is left for another attempt")
                stop.wait(PAUSE_SECONDS)

    def _handle(self, consumer: Consumer, message: Message) -> None:
        with metrics.JOB_SECONDS.labels(self._kind).time():
            outcome = self._attempt(message)
        metrics.ENDED.labels(self._kind, outcome).inc()
        logger.info(f"{self._kind}: {outcome}", extra={"job": str(message.job_id)})
        if outcome != "retry":
            consumer.done(message)

    def _attempt(self, message: Message) -> str:
        job = self._store.begin(message.job_id, self._kind)
        if job is None:
            return "stale"
        if job.attempts > self._max_attempts:
            # Each of them was counted and none came back: the job kills its worker.
            self._store.give_up(job, State.DEAD, job.error or "the worker died in each attempt")
            return "dead"
        try:
            first = self._stage(job)
        except Refused as refusal:
            self._store.give_up(job, State.FAILED, str(refusal))
            return "failed"
        except UNAVAILABLE:
            raise
        except Exception as problem:
            if not isinstance(problem, Unavailable):
                logger.exception("unexpected error", extra={"job": str(job.id)})
            if job.attempts < self._max_attempts:
                self._store.note(job, str(problem))
                return "retry"
            self._store.give_up(job, State.DEAD, str(problem))
            return "dead"
        if first:
            self._pass_on(job)
        return "done" if first else "stale"

    def _pass_on(self, job: Job) -> None:
        following = job.stage.next
        if following is None:
            return
        try:
            message_id = self._queue.put(following, job.id, job.request_id)
            self._store.announced(job.id, following, message_id)
        except QueueUnavailable as problem:
            # The result is committed and the job says what comes next: the scheduler's sweep puts it in the queue.
            logger.warning("left to the sweep", extra={"job": str(job.id), "problem": str(problem)})


def stage(kind: Kind, store: Store, cache: Cache) -> Stage:
    """Return what this kind of worker does with a job, which is true if it took effect."""
    if kind is Kind.SCRAPING:
        settings = Scrape.read()
        guard = Guard(settings.allowed_hosts)
        limits = Limits(settings.scrape_seconds, settings.scrape_max_bytes, settings.scrape_max_redirects)
        return lambda job: store.scraped(job, fetch(job.url, guard, limits))
    if kind is Kind.PROCESSING:
        return lambda job: store.processed(job, extract(store.page(job.id)))
    again = Schedule.read().rescrape_after_seconds

    def analyse(job: Job) -> bool:
        first = store.analysed(job, again)
        cache.put(store.totals(newest=True))
        return first

    return analyse


def main(kind: Kind, stop: Event) -> None:
    """Run a worker of this kind until told to stop."""
    work, server = Work.read(), Server.read()
    database = Database(Postgres.read(), f"worker-{kind}")
    store, queue = Store(database), Queue(Redis.read())
    cache = Cache(Memcached.read() if kind is Kind.ANALYTICS else Memcached())
    worker = Worker(kind, stage(kind, store, cache), store, queue, work.job_attempts)
    database.open()
    health = serve(server.port, Readiness({"postgres": store.check, "redis": queue.check}, {"memcached": cache.check}))
    name = f"{socket.gethostname()}-{os.getpid()}"
    consumers = [queue.consumer(kind, f"{name}-{number}") for number in range(work.worker_threads)]
    threads = [Thread(target=worker.run, args=(consumer, stop), name="worker") for consumer in consumers]
    for thread in threads:
        thread.start()
    logger.info("started", extra={"threads": len(threads)})
    for thread in threads:
        thread.join()
    health.shutdown()
    cache.close()
    queue.close()
    database.close()
    logger.info("stopped")
