"""The fixtures of the workload's tests: the servers, started once and emptied for each test, and a site to scrape.

A plugin by name (`pytest_plugins`), so that other tests in this folder start no servers.
"""

import threading
from collections.abc import Generator
from http.server import ThreadingHTTPServer

import pytest

from tests.servers.workload_platform import TABLES, Jobs, Platform, Site, migrate, opened
from tests.servers.workload_servers import PASSWORD, memcached, postgres, redis_server
from workload.app.queue import Queue
from workload.app.settings import Redis
from workload.app.store import Store


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Generator[Platform]:
    folder = tmp_path_factory.mktemp("workload")
    with postgres() as database, redis_server(folder) as queue, memcached(folder) as cache:
        environment = {
            "POSTGRES_HOST": "127.0.0.1",
            "POSTGRES_PORT": str(database.port),
            "POSTGRES_DATABASE": "jobs",
            "POSTGRES_USERNAME": "application",
            "POSTGRES_PASSWORD": PASSWORD,
            "POSTGRES_PATIENCE_SECONDS": "0.5",
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(queue.port),
            "REDIS_USERNAME": "application",
            "REDIS_PASSWORD": PASSWORD,
            "MEMCACHED_HOST": "127.0.0.1",
            "MEMCACHED_PORT": str(cache),
            "SCRAPE_ALLOWED_HOSTS": "localhost",
            "SCRAPE_SECONDS": "10",
            "JOB_RETRY_AFTER_SECONDS": "0.5",
            "JOB_ATTEMPTS": "3",
            "WORKER_THREADS": "1",  # a second one would take over a job that a test holds up
            "SCHEDULER_TICK_SECONDS": "0.1",
            "SCHEDULER_LEASE_SECONDS": "1",
            "SWEEP_AFTER_SECONDS": "0.5",
            "UNQUEUED_AFTER_SECONDS": "0.5",
        }
        platform = Platform(database, queue, folder, environment)
        applied = migrate(platform, "upgrade", "head")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        yield platform


@pytest.fixture
def platform(servers: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """Lend the servers, running and empty; this process has the environment of the others."""
    for name, value in servers.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("workload.app.queue.BLOCK_MILLISECONDS", 50)  # so that workers in this process stop soon
    for server in (servers.postgres, servers.redis):
        if server.process is None:
            server.start()
    servers.redis.admin.config_set("maxmemory", "0")
    servers.redis.admin.flushall()
    servers.sql(f"TRUNCATE {TABLES}; UPDATE totals SET pages = 0, words = 0, links = 0, bytes = 0")
    return servers


@pytest.fixture
def store(platform: Platform) -> Generator[Store]:
    with opened(platform) as store:
        yield store


@pytest.fixture
def queue(platform: Platform) -> Generator[Queue]:
    queue = Queue(Redis.read(platform.environment))
    yield queue
    queue.close()


@pytest.fixture
def jobs(store: Store, queue: Queue) -> Jobs:
    return Jobs(store, queue)


@pytest.fixture
def site() -> Generator[str]:
    Site.gate.clear()
    Site.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield f"http://localhost:{server.server_port}"
        Site.gate.set()
        server.shutdown()
