"""Jobs in Postgres, the source of truth: what is committed is never lost, and takes effect once."""

# ruff: noqa: S608 - all that is put into a query is the constant list of columns below

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import LiteralString
from uuid import UUID, uuid4

from workload.app.database import Connection, Database, every, no_row, one
from workload.app.fetch import Page
from workload.app.jobs import Extract, Job, JobDetail, Kind, State, Totals, Waiting

JOB = """jobs.id, jobs.url, jobs.stage, jobs.state, jobs.attempts, jobs.error, jobs.request_id, jobs.created_at,
         jobs.finished_at"""


class Store:
    """The tables as the parts use them, one transaction a method.

    Where there are replicas, `job`, `newest` and `totals` may be a little behind.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def check(self) -> None:
        """Raise unless the primary answers and the schema is there."""
        with self._database.writing() as connection:
            connection.execute("SELECT 1 FROM totals")

    def job(self, job_id: UUID) -> JobDetail | None:
        """Return a job and what it has found so far."""
        query: LiteralString = f"""
            SELECT {JOB}, pages.status, extracts.title, extracts.words, extracts.links
            FROM jobs LEFT JOIN pages ON pages.job_id = jobs.id LEFT JOIN extracts ON extracts.job_id = jobs.id
            WHERE jobs.id = %s"""
        with self._database.reading() as connection:
            found = one(connection, JobDetail, query, [job_id])
        if found is None and self._database.has_replica:
            # A replica may not have heard yet of a job that its client was just told of.
            with self._database.writing() as connection:
                found = one(connection, JobDetail, query, [job_id])
        return found

    def newest(self, limit: int) -> list[Job]:
        """Return the jobs that were submitted last."""
        with self._database.reading() as connection:
            return every(connection, Job, f"SELECT {JOB} FROM jobs ORDER BY created_at DESC, id LIMIT %s", [limit])

    def totals(self, *, newest: bool = False) -> Totals:
        """Return the totals; `newest` asks the primary."""
        with self._database.writing() if newest else self._database.reading() as connection:
            return one(connection, Totals, "SELECT pages, words, links, bytes FROM totals") or no_row()

    def add(self, url: str, request_id: str, job_id: UUID | None = None) -> Job:
        """Create a job. It is safe from here on: the scheduler finds it even if nobody queues it.

        With a `job_id` it can be done again by one who does not know whether it was done: there is one job.
        """
        query: LiteralString = f"""
            INSERT INTO jobs (id, url, request_id) VALUES (%s, %s, %s)
            ON CONFLICT (id) DO UPDATE SET url = EXCLUDED.url RETURNING {JOB}"""
        with self._database.writing() as connection:
            return one(connection, Job, query, [job_id or uuid4(), url, request_id]) or no_row()

    def withdraw(self, job_id: UUID) -> None:
        """Take back a job that the queue did not take, unless a worker has it after all."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM jobs WHERE id = %s AND stage = 'scraping' AND attempts = 0", [job_id])

    def announced(self, job_id: UUID, stage: Kind, message_id: str) -> None:
        """Note which message speaks for the job in this stage."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET message_id = %s, seen_at = now() WHERE id = %s AND stage = %s",
                [message_id, job_id, stage],
            )

    def begin(self, job_id: UUID, stage: Kind) -> Job | None:
        """Count an attempt before the work (a worker that the job kills has tried too). None: nothing is left to do."""
        query: LiteralString = f"""
            UPDATE jobs SET state = 'running', attempts = attempts + 1, seen_at = now()
            WHERE id = %s AND stage = %s AND state IN ('queued', 'running') RETURNING {JOB}"""
        with self._database.writing() as connection:
            return one(connection, Job, query, [job_id, stage])

    @contextmanager
    def _advance(self, job: Job) -> Generator[Connection | None]:
        """Lend the transaction that ends a stage; None when another worker was first (the row's lock orders them)."""
        following = job.stage.next
        with self._database.writing() as connection, connection.transaction():
            ended = connection.execute(
                """UPDATE jobs SET stage = %s, state = %s, attempts = 0, error = NULL, message_id = NULL,
                          seen_at = now(), finished_at = CASE WHEN %s THEN now() END
                   WHERE id = %s AND stage = %s AND state IN ('queued', 'running')""",
                [
                    following or job.stage,
                    State.QUEUED if following else State.DONE,
                    following is None,
                    job.id,
                    job.stage,
                ],
            )
            yield connection if ended.rowcount else None

    def scraped(self, job: Job, page: Page) -> bool:
        """Keep the page and end the stage. False, here and below: another worker had the job too and was first."""
        with self._advance(job) as connection:
            if connection:
                connection.execute(
                    "INSERT INTO pages (job_id, url, status, content_type, body) VALUES (%s, %s, %s, %s, %s)",
                    [job.id, page.url, page.status, page.content_type, page.body],
                )
        return connection is not None

    def page(self, job_id: UUID) -> Page:
        """Return what scraping found."""
        query = "SELECT url, status, content_type, body FROM pages WHERE job_id = %s"
        with self._database.writing() as connection:
            return one(connection, Page, query, [job_id]) or no_row()

    def processed(self, job: Job, extract: Extract) -> bool:
        """Keep what the page says and end the stage."""
        with self._advance(job) as connection:
            if connection:
                connection.execute(
                    "INSERT INTO extracts (job_id, title, links, words) VALUES (%s, %s, %s, %s)",
                    [job.id, extract.title, extract.links, extract.words],
                )
        return connection is not None

    def analysed(self, job: Job, rescrape_after_seconds: float) -> bool:
        """Add the job to the totals once and for all, and its URL to the sites that are scraped again."""
        count = """
            WITH first AS (INSERT INTO counted (job_id) VALUES (%(job)s) ON CONFLICT DO NOTHING RETURNING job_id)
            UPDATE totals SET pages = pages + 1, words = totals.words + found.words,
                   links = totals.links + found.links, bytes = totals.bytes + found.bytes
            FROM (SELECT extracts.words, cardinality(extracts.links) AS links, length(pages.body) AS bytes
                  FROM first JOIN extracts USING (job_id) JOIN pages USING (job_id)) AS found"""
        site = """
            INSERT INTO sites (url, next_scrape_at) VALUES (%(url)s, now() + %(after)s * interval '1 second')
            ON CONFLICT (url) DO UPDATE SET next_scrape_at = EXCLUDED.next_scrape_at"""
        with self._advance(job) as connection:
            if connection:
                connection.execute(count, {"job": job.id})
                connection.execute(site, {"url": job.url, "after": rescrape_after_seconds})
        return connection is not None

    def give_up(self, job: Job, state: State, error: str) -> None:
        """End a job without its effect; a site that cannot be had is not asked again."""
        with self._database.writing() as connection, connection.transaction():
            ended = connection.execute(
                """UPDATE jobs SET state = %s, error = %s, finished_at = now()
                   WHERE id = %s AND stage = %s AND state IN ('queued', 'running')""",
                [state, _text(error, 500), job.id, job.stage],
            )
            if ended.rowcount:
                connection.execute("DELETE FROM sites WHERE url = %s", [job.url])

    def note(self, job: Job, error: str) -> None:
        """Say on the job why its last attempt failed."""
        with self._database.writing() as connection:
            connection.execute(
                "UPDATE jobs SET error = %s WHERE id = %s AND stage = %s AND state = 'running'",
                [_text(error, 500), job.id, job.stage],
            )

    def lease(self, name: str, holder: str, seconds: float) -> bool:
        """Take or renew a lease by the database's clock; an advisory lock would not survive a connection pooler."""
        query = """
            INSERT INTO leases (name, holder, expires_at)
            VALUES (%(name)s, %(holder)s, now() + %(seconds)s * interval '1 second')
            ON CONFLICT (name) DO UPDATE SET holder = EXCLUDED.holder, expires_at = EXCLUDED.expires_at
            WHERE leases.holder = EXCLUDED.holder OR leases.expires_at < now() RETURNING true"""
        with self._database.writing() as connection:
            taken = connection.execute(query, {"name": name, "holder": holder, "seconds": seconds})
            return taken.fetchone() is not None

    def release(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still held."""
        with self._database.writing() as connection:
            connection.execute("DELETE FROM leases WHERE name = %s AND holder = %s", [name, holder])

    def due(self, limit: int, again_after_seconds: float) -> list[Job]:
        """Create jobs for the sites whose time has come; each is taken once, even by two callers at a time."""
        query: LiteralString = f"""
            WITH due AS (SELECT url FROM sites WHERE next_scrape_at <= now() ORDER BY next_scrape_at LIMIT %(limit)s
                         FOR UPDATE SKIP LOCKED),
                 taken AS (UPDATE sites SET next_scrape_at = now() + %(after)s * interval '1 second'
                           FROM due WHERE sites.url = due.url RETURNING sites.url)
            INSERT INTO jobs (url, request_id) SELECT url, replace(gen_random_uuid()::text, '-', '') FROM taken
            RETURNING {JOB}"""
        with self._database.writing() as connection:
            return every(connection, Job, query, {"limit": limit, "after": again_after_seconds})

    def unseen(self, queued_seconds: float, unqueued_seconds: float, limit: int) -> list[Waiting]:
        """Return unfinished jobs that have not been seen in the queue for a while, or were never put there."""
        query = """
            SELECT id, stage, message_id, request_id FROM jobs
            WHERE state IN ('queued', 'running')
            AND seen_at < now() - CASE WHEN message_id IS NULL THEN %s ELSE %s END * interval '1 second'
            ORDER BY seen_at LIMIT %s"""
        with self._database.writing() as connection:
            return every(connection, Waiting, query, [unqueued_seconds, queued_seconds, limit])

    def seen(self, job_ids: Sequence[UUID]) -> None:
        """Note that the queue still holds these jobs' messages."""
        with self._database.writing() as connection:
            connection.execute("UPDATE jobs SET seen_at = now() WHERE id = ANY(%s)", [list(job_ids)])

    def forget(self, seconds: float, limit: int) -> int:
        """Delete finished jobs past their time, with what they found; the totals keep counting them."""
        query = """
            DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at < now() - %s * interval '1 second'
                                          ORDER BY finished_at LIMIT %s)"""
        with self._database.writing() as connection:
            return connection.execute(query, [seconds, limit]).rowcount


def _text(value: str, limit: int) -> str:
    return value.replace("\x00", "")[:limit]  # Postgres has no NUL in text
