"""Redis Streams: one stream per kind of work, one consumer group; a message stays until it is acknowledged.

A message names a job and the request it came from, nothing else. Losing one is survivable (the scheduler's sweep finds
the job in Postgres), and so is seeing one twice (the store lets an effect happen once).
"""

import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workload.app.jobs import Kind
from workload.app.settings import Redis

GROUP = "workers"
BLOCK_MILLISECONDS = 1000
IDLE_CONSUMER_SECONDS = 3600

Entry = tuple[str, dict[str, str] | None]


class QueueUnavailable(Exception):  # noqa: N818 - it is an answer
    """Redis is away or read-only. The message says which."""


class QueueFull(QueueUnavailable):
    """Redis has no room for another message, until workers have taken some out."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a worker is told."""

    id: str
    kind: Kind
    job_id: UUID
    request_id: str


def stream(kind: Kind) -> str:
    """Return the key of the stream for this kind of work."""
    return f"jobs:{kind}"


@contextmanager
def _translated() -> Generator[None]:
    try:
        yield
    except redis.OutOfMemoryError as problem:
        raise QueueFull(str(problem)) from problem
    except redis.RedisError as problem:
        raise QueueUnavailable(str(problem) or type(problem).__name__) from problem


class Queue:
    """The whole queue, as those who fill and watch it see it."""

    def __init__(self, settings: Redis) -> None:
        self.retry_after_seconds = settings.job_retry_after_seconds
        self._redis = redis.Redis(
            host=settings.redis_host,
            port=settings.redis_port,
            username=settings.redis_username,
            password=settings.redis_password.get_secret_value(),
            ssl=settings.redis_ca_file is not None,
            ssl_ca_certs=settings.redis_ca_file,
            ssl_check_hostname=True,
            protocol=2,
            decode_responses=True,
            # Twice that, with the retry, is what a submission waits where packets to a queue that moves are dropped: in a drain it
            # has waited for another primary by then. Its job is safe, and the sweep queues it.
            socket_connect_timeout=1,
            socket_timeout=BLOCK_MILLISECONDS / 1000 + 2,
            # One new connection at once for one that a failover has closed; after that the callers decide.
            retry=Retry(NoBackoff(), 1),
            health_check_interval=15,
        )

    def check(self) -> None:
        """Raise unless Redis answers."""
        with _translated():
            self._redis.ping()

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def put(self, kind: Kind, job_id: UUID, request_id: str) -> str:
        """Add a message and return its id."""
        with _translated():
            return str(self._redis.xadd(stream(kind), {"job": str(job_id), "request_id": request_id}))

    def holds(self, kind: Kind, message_ids: Sequence[str]) -> set[str]:
        """Return those of the messages that are still in the queue, delivered or not."""
        with _translated():
            pipeline = self._redis.pipeline(transaction=False)
            for message_id in message_ids:
                pipeline.xrange(stream(kind), message_id, message_id)
            answers = cast("list[list[Any]]", pipeline.execute())
        return {message_id for message_id, answer in zip(message_ids, answers, strict=True) if answer}

    def depth(self, kind: Kind) -> int:
        """Count the messages that wait or are being worked on: acknowledged ones are deleted."""
        with _translated():
            return self._redis.xlen(stream(kind))

    def forget_consumers(self, kind: Kind) -> None:
        """Remove the names of workers that are long gone and owe nothing."""
        with _translated():
            try:
                consumers = self._redis.xinfo_consumers(stream(kind), GROUP)
            except redis.ResponseError as problem:
                if str(problem).startswith(("NOGROUP", "no such key")):
                    return  # no worker of this kind has started yet
                raise
            for consumer in consumers:
                if consumer["pending"] == 0 and consumer["idle"] > IDLE_CONSUMER_SECONDS * 1000:
                    self._redis.xgroup_delconsumer(stream(kind), GROUP, consumer["name"])

    def consumer(self, kind: Kind, name: str) -> "Consumer":
        """Return one thread's end of the queue; its name is its own."""
        return Consumer(self._redis, kind, name, self.retry_after_seconds)


class Consumer:
    """Takes messages of one kind, one at a time."""

    def __init__(self, client: redis.Redis, kind: Kind, name: str, retry_after_seconds: float) -> None:
        self._redis = client
        self._kind = kind
        self._name = name
        self._retry_after = retry_after_seconds
        self._claim_at = 0.0
        self._resume_after: str | None = None

    def take(self) -> Message | None:
        """Return a message to resume, one whose worker failed or died, a new one, or (after about a second) None."""
        with _translated():
            try:
                entry = self._own() or self._abandoned() or self._new()
            except redis.ResponseError as problem:
                if not str(problem).startswith("NOGROUP"):
                    raise
                # First start, or Redis came back empty. From 0: what was put before the group existed counts too.
                self._create_group()
                return None
            if entry is None:
                return None
            message_id, fields = entry
            try:
                fields = fields or {}
                return Message(message_id, self._kind, UUID(fields["job"]), fields["request_id"])
            except (KeyError, ValueError):
                self._remove(message_id)  # not ours: nobody will ever be able to work on it
                return None

    def resume(self) -> None:
        """Take what was given to this consumer and is not acknowledged first, and once; else it waits like an abandoned one."""
        self._resume_after = "0"

    def done(self, message: Message) -> None:
        """Acknowledge the message and remove it."""
        with _translated():
            self._remove(message.id)

    def _remove(self, message_id: str) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.xack(stream(self._kind), GROUP, message_id)
        pipeline.xdel(stream(self._kind), message_id)
        pipeline.execute()

    def _own(self) -> Entry | None:
        if self._resume_after is None:
            return None
        entry = self._read(self._resume_after)
        self._resume_after = entry[0] if entry else None
        return entry

    def _abandoned(self) -> Entry | None:
        if time.monotonic() < self._claim_at:
            return None
        milliseconds = int(self._retry_after * 1000)
        answer = self._redis.xautoclaim(stream(self._kind), GROUP, self._name, milliseconds, "0-0", count=1)
        entries = cast("list[Entry]", answer[1])
        if entries:
            return entries[0]
        self._claim_at = time.monotonic() + min(self._retry_after / 2, 5)
        return None

    def _new(self) -> Entry | None:
        return self._read(">")

    def _read(self, after: str) -> Entry | None:
        answer = self._redis.xreadgroup(
            GROUP, self._name, {stream(self._kind): after}, count=1, block=BLOCK_MILLISECONDS
        )
        streams = cast("list[tuple[str, list[Entry]]]", answer)
        return streams[0][1][0] if streams and streams[0][1] else None

    def _create_group(self) -> None:
        try:
            self._redis.xgroup_create(stream(self._kind), GROUP, id="0", mkstream=True)
        except redis.ResponseError as problem:
            if not str(problem).startswith("BUSYGROUP"):
                raise
