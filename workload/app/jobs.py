"""The words every part shares: the kinds of work, the states of a job, and what is told about them."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel


class Kind(StrEnum):
    """One queue and one Deployment each; a job passes through them in this order."""

    SCRAPING = "scraping"
    PROCESSING = "processing"
    ANALYTICS = "analytics"

    @property
    def next(self) -> "Kind | None":
        """What comes after this kind of work."""
        order = list(Kind)
        position = order.index(self) + 1
        return order[position] if position < len(order) else None


class State(StrEnum):
    """Where a job is within its stage; the last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"  # the answer is final: no such page, not a text page, an address that is refused
    DEAD = "dead"  # given up after the last attempt; a person looks at these


class Job(BaseModel):
    """A URL on its way through the stages."""

    id: UUID
    url: str
    stage: Kind
    state: State
    attempts: int
    error: str | None
    request_id: str
    created_at: datetime
    finished_at: datetime | None


class JobDetail(Job):
    """A job and what it has found so far."""

    status: int | None
    title: str | None
    words: int | None
    links: list[str] | None


class Extract(BaseModel):
    """What a page says."""

    title: str
    links: list[str]
    words: int


class Totals(BaseModel):
    """What all pages say together."""

    pages: int
    words: int
    links: int
    bytes: int


class Waiting(BaseModel):
    """An unfinished job whose message may have been lost."""

    id: UUID
    stage: Kind
    message_id: str | None
    request_id: str
