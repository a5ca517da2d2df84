"""The store on a real PostgreSQL: effects happen once, reads go to a replica, and roles may do what they must."""

import selectors
import socket
import socketserver
import threading
from uuid import uuid4

import psycopg
import pytest

from tests.processes import eventually, free_port
from tests.servers.workload_platform import PAGE, Platform, migrate, opened
from tests.servers.workload_servers import standby
from workload.app.database import check_primary
from workload.app.extract import extract
from workload.app.fetch import Page
from workload.app.jobs import Job, Kind, State
from workload.app.store import Store

pytest_plugins = ["tests.servers.workload_fixtures"]


def begun(store: Store, job: Job, stage: Kind) -> Job:
    found = store.begin(job.id, stage)
    assert found is not None
    return found


def ready_to_count(store: Store) -> Job:
    """Make a job that has been scraped and processed, and that an analytics worker has begun."""
    page = Page("http://localhost/", 200, "text/html", PAGE)
    job = store.add(page.url, "test")
    assert store.scraped(begun(store, job, Kind.SCRAPING), page)
    assert store.page(job.id) == page
    assert store.processed(begun(store, job, Kind.PROCESSING), extract(page))
    return begun(store, job, Kind.ANALYTICS)


def test_an_effect_happens_once_however_many_workers_have_the_job(store: Store) -> None:
    job = ready_to_count(store)
    first: list[bool] = []
    workers = [threading.Thread(target=lambda: first.append(store.analysed(job, 60))) for _ in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(first) == [False] * 5 + [True]
    assert store.totals().pages == 1
    assert store.begin(job.id, Kind.ANALYTICS) is None


def test_the_database_itself_counts_a_job_once(store: Store, platform: Platform) -> None:
    """Hold the constraint against a bug that sets a finished job back."""
    job = ready_to_count(store)
    store.analysed(job, 60)
    platform.sql("UPDATE jobs SET state = 'queued', finished_at = NULL")
    assert store.analysed(begun(store, job, Kind.ANALYTICS), 60)
    assert store.totals().pages == 1


def test_a_stage_that_fails_half_way_leaves_the_job_where_it_was(store: Store) -> None:
    job = store.add("http://localhost/", "test")
    with pytest.raises(psycopg.DataError):
        store.scraped(begun(store, job, Kind.SCRAPING), Page("\x00", 200, "text/html", PAGE))
    found = store.job(job.id)
    assert found is not None
    assert (found.stage, found.state) == (Kind.SCRAPING, State.RUNNING)


def test_a_job_that_is_added_again_for_want_of_an_answer_is_one_job(store: Store) -> None:
    job_id = uuid4()
    added = store.add("http://localhost/", "test", job_id)
    assert store.add("http://localhost/", "test", job_id) == added
    assert store.newest(10) == [added]


def test_a_withdrawn_job_is_gone_unless_a_worker_has_it(store: Store) -> None:
    untouched, taken = store.add("http://localhost/", "test"), store.add("http://localhost/", "test")
    begun(store, taken, Kind.SCRAPING)
    store.withdraw(untouched.id)
    store.withdraw(taken.id)
    assert [job.id for job in store.newest(10)] == [taken.id]


def test_a_site_is_scraped_again_and_one_that_is_gone_is_not(store: Store, platform: Platform) -> None:
    job = ready_to_count(store)
    store.analysed(job, 0.001)
    eventually(lambda: platform.sql("SELECT 1 FROM sites WHERE next_scrape_at < now()"), "its time has come")
    again = store.due(10, 3600)
    assert [new.url for new in again] == [job.url]
    assert store.due(10, 3600) == []
    store.give_up(again[0], State.FAILED, "gone\x00")
    assert platform.sql("SELECT count(*) FROM sites") == [(0,)]


def test_a_lease_has_one_holder_and_runs_out(store: Store, platform: Platform) -> None:
    assert store.lease("scheduler", "one", 60)
    assert not store.lease("scheduler", "two", 60)
    assert store.lease("scheduler", "one", 60)
    store.release("scheduler", "two")
    assert not store.lease("scheduler", "two", 60)
    platform.sql("UPDATE leases SET expires_at = now() - interval '1 second'")
    assert store.lease("scheduler", "two", 60)
    assert not store.lease("scheduler", "one", 60)


def test_old_jobs_are_forgotten_and_stay_counted(store: Store, platform: Platform) -> None:
    store.analysed(ready_to_count(store), 60)
    waiting = store.add("http://localhost/", "test")
    platform.sql("UPDATE jobs SET finished_at = finished_at - interval '8 days'")
    assert store.forget(7 * 24 * 3600, 10) == 1
    assert [job.id for job in store.newest(10)] == [waiting.id]
    assert store.totals().pages == 1


def test_reads_go_to_the_replica_and_survive_its_end(platform: Platform) -> None:
    with standby(platform.postgres) as replica:
        settings = {"POSTGRES_REPLICA_HOST": "127.0.0.1", "POSTGRES_REPLICA_PORT": str(replica.port)}
        with opened(platform, **settings) as store:
            first = store.add("http://localhost/1", "test")
            eventually(lambda: [job.id for job in store.newest(10)] == [first.id], "the replica has the job")
            replica.admin("SELECT pg_wal_replay_pause()")
            second = store.add("http://localhost/2", "test")
            assert [job.id for job in store.newest(10)] == [first.id]  # the replica's answer, for it is behind
            assert store.job(second.id)  # which is no reason to deny a job that its client was just told of
            with replica.connect() as connection, pytest.raises(psycopg.OperationalError, match="not the primary"):
                check_primary(connection)  # as after a failover, under an old connection
            replica.stop()
            assert len(store.newest(10)) == 2


def test_the_application_role_only_reads_and_writes_rows(platform: Platform) -> None:
    again = migrate(platform, "upgrade", "head")
    assert again.returncode == 0, again.stderr
    forbidden = (b"CREATE TABLE mine (x int)", b"DROP TABLE jobs", b"ALTER TABLE jobs ADD x int", b"TRUNCATE jobs")
    with platform.postgres.connect("application", "jobs") as connection:
        for statement in forbidden:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


class Reluctant(socketserver.ThreadingTCPServer):
    """Stands before PostgreSQL, hangs up on the first `refusals` connections, and passes the rest on."""

    daemon_threads = True

    def __init__(self, port: int, refusals: int) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.port, self.refusals, self.seen = port, refusals, 0


class Relay(socketserver.BaseRequestHandler):
    """Passes bytes both ways until one side hangs up."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Reluctant)
        server.seen += 1
        if server.seen <= server.refusals:
            return
        with socket.create_connection(("127.0.0.1", server.port)) as there, selectors.DefaultSelector() as selector:
            selector.register(self.request, selectors.EVENT_READ, there)
            selector.register(there, selectors.EVENT_READ, self.request)
            while True:
                for ready, _events in selector.select():
                    assert isinstance(ready.fileobj, socket.socket)
                    content = ready.fileobj.recv(65536)
                    if not content:
                        return
                    ready.data.sendall(content)


def test_a_migration_waits_for_a_database_that_does_not_answer_yet(platform: Platform) -> None:
    with Reluctant(int(platform.environment["POSTGRES_PORT"]), refusals=2) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = migrate(platform, "upgrade", "head", POSTGRES_PORT=str(server.server_address[1]))
        server.shutdown()
        assert done.returncode == 0, done.stderr
        assert server.seen == 3


def test_a_migration_does_not_wait_for_ever(platform: Platform) -> None:
    alone = migrate(platform, "upgrade", "head", POSTGRES_PORT=str(free_port()), MIGRATION_WAIT_SECONDS="0.1")
    assert alone.returncode != 0
    assert "Connection refused" in alone.stderr


def test_a_migration_gives_up_on_a_lock_soon(platform: Platform) -> None:
    with platform.postgres.connect(dbname="jobs", autocommit=False) as connection:
        connection.execute("SELECT 1 FROM jobs")  # a long transaction
        blocked = migrate(platform, "downgrade", "base")
    assert "lock timeout" in blocked.stderr
    assert platform.sql("SELECT count(*) FROM totals") == [(1,)]
