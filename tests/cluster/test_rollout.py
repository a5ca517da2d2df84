"""A rollout and a lost pod under load: no request fails."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from tests.cluster.conftest import Platform

_PAUSE_SECONDS = 0.02
_PATHS: tuple[str, ...] = ("/", "/api/stats", "/api/jobs")


@contextmanager
def load(platform: Platform) -> Generator[list[tuple[str, object]]]:
    """Ask for each path in turn, from one client each, until the block ends; yield the list of failures."""
    failures: list[tuple[str, object]] = []
    served = dict.fromkeys(_PATHS, 0)
    stop = threading.Event()

    def ask(path: str) -> None:
        while not stop.wait(_PAUSE_SECONDS):
            try:
                status, _body = platform.call(path)
            except OSError as error:
                failures.append((path, error))
                continue
            served[path] += 1
            if status != 200:
                failures.append((path, status))

    clients = [threading.Thread(target=ask, args=(path,)) for path in _PATHS]
    for client in clients:
        client.start()
    try:
        yield failures
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert all(count > 50 for count in served.values()), served


@pytest.mark.parametrize("name", ["frontend", "api"])
def test_a_rollout_fails_no_request(platform: Platform, name: str) -> None:
    began = time.monotonic()
    with load(platform) as failures:
        platform.node.kubectl("rollout", "restart", f"deployment/{name}", "--namespace=app")
        platform.node.kubectl("rollout", "status", f"deployment/{name}", "--namespace=app", "--timeout=120s")
        # The old pod is still leaving when the new one serves: stay until it is gone.
        selector = f"--selector=app.kubernetes.io/name={name}"
        old = platform.node.get("pods", "--namespace=app", selector)["items"]
        leaving = [pod["metadata"]["name"] for pod in old if "deletionTimestamp" in pod["metadata"]]
        for pod in leaving:
            platform.node.kubectl("wait", f"pod/{pod}", "--for=delete", "--namespace=app", "--timeout=60s")
    assert failures == [], f"after {time.monotonic() - began:.0f} s"
