"""What the snapshots' Job does, against an API server on loopback that keeps claims and snapshots and nothing else."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from images.snapshots import snapshots
from images.snapshots.snapshots import Api, Task, superfluous, take

LABELS = {"app.kubernetes.io/name": "redis", "app.kubernetes.io/part-of": "platform"}
MADE = {**LABELS, "app.kubernetes.io/managed-by": "snapshots"}


def snapshot(claim: str, minute: int, *, ready: bool = True, **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"{claim}-{minute}",
            "creationTimestamp": f"2026-01-01T00:{minute:02}:00Z",
            "labels": MADE,
            **metadata,
        },
        "spec": {"source": {"persistentVolumeClaimName": claim}},
        "status": {"readyToUse": ready},
    }


@dataclass
class Server:
    """What the fake API server has, how it behaves, and what it was asked."""

    claims: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    snapshots: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    broken: set[str] = field(default_factory=set[str])
    refused: int = 0
    asked: list[str] = field(default_factory=list[str])
    url: str = ""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Answer as the API server would; a new snapshot is ready at once, or never if its claim is `broken`."""
        place, name = urlsplit(path).path, urlsplit(path).path.rpartition("/")[2]
        self.asked.append(f"{method} {name}")
        if self.refused:
            return self.refused, {"message": "no rights"}
        if method == "GET":
            pairs = parse_qs(urlsplit(path).query)["labelSelector"][0].split(",")
            wanted = dict(pair.split("=") for pair in pairs)
            items = self.claims if name == "persistentvolumeclaims" else list(self.snapshots.values())
            return 200, {"items": [item for item in items if wanted.items() <= item["metadata"]["labels"].items()]}
        if method == "DELETE":
            return (200, {}) if self.snapshots.pop(name, None) else (404, {"message": "not found"})
        assert place == "/apis/snapshot.storage.k8s.io/v1/namespaces/data/volumesnapshots"
        return self._create(body)

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        made = body["metadata"]["name"]
        if made in self.snapshots:
            return 409, {"message": "already exists"}
        broken = body["spec"]["source"]["persistentVolumeClaimName"] in self.broken
        status = {"readyToUse": False, "error": {"message": "disk on fire"}} if broken else {"readyToUse": True}
        stamp = f"2026-01-01T00:{30 + len(self.snapshots):02}:00Z"
        self.snapshots[made] = {**body, "metadata": {**body["metadata"], "creationTimestamp": stamp}, "status": status}
        return 201, self.snapshots[made]


@contextmanager
def serving(server: Server) -> Generator[None]:
    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            assert self.headers["Authorization"] == "Bearer sesame"
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            status, content = server.answer(self.command, self.path, body)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        do_GET = do_POST = do_DELETE = _do  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        server.url = f"http://127.0.0.1:{listener.server_port}"
        try:
            yield
        finally:
            listener.shutdown()
            thread.join()


@pytest.fixture
def server() -> Generator[Server]:
    """Serve two claims of the queue that have volumes, one of it that has none, and one of somebody else."""

    def claim(name: str, phase: str = "Bound", **labels: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "labels": {**LABELS, **labels}}, "status": {"phase": phase}}

    other = claim("data-postgres-0", **{"app.kubernetes.io/name": "postgres"})
    made = Server(claims=[claim("data-redis-0"), claim("data-redis-1"), claim("data-redis-2", "Pending"), other])
    with serving(made):
        yield made


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Api:
    token = tmp_path / "token"
    token.write_text("sesame\n")
    return Api(url=server.url, namespace="data", token=token)


def task(run: str = "night", keep: int = 2, seconds: float = 0) -> Task:
    return Task(workload="redis", run=run, snapshot_class="platform", keep=keep, seconds=seconds)


def test_each_volume_gets_a_snapshot_that_says_whose_it_is(server: Server, api: Api) -> None:
    assert take(api, task()) == []
    assert set(server.snapshots) == {"data-redis-0-night", "data-redis-1-night"}
    made = server.snapshots["data-redis-0-night"]
    assert made["metadata"]["labels"] == MADE
    assert made["spec"] == {
        "volumeSnapshotClassName": "platform",
        "source": {"persistentVolumeClaimName": "data-redis-0"},
    }


def test_the_same_run_again_makes_no_second_one(server: Server, api: Api) -> None:
    assert take(api, task()) == take(api, task()) == []
    assert len(server.snapshots) == 2


def test_a_run_that_was_killed_is_gone_on_with(server: Server, api: Api) -> None:
    """Wherever it was: after each request it made, the next attempt ends as if there had been no other."""
    assert take(api, task("first", keep=1)) == []
    before = dict(server.snapshots)
    server.asked.clear()
    assert take(api, task("second", keep=1)) == []
    after, requests = set(server.snapshots), len(server.asked)
    answer = server.answer
    for killed_at in range(1, requests):
        server.snapshots = dict(before)
        left = iter(range(killed_at))

        def answers(method: str, path: str, body: dict[str, Any], left: Any = left) -> tuple[int, Any]:
            return (500, {}) if next(left, None) is None else answer(method, path, body)

        server.answer = answers
        with pytest.raises(OSError, match="500"):
            take(api, task("second", keep=1))
        server.answer = answer
        assert take(api, task("second", keep=1)) == []
        assert set(server.snapshots) == after


def test_the_oldest_go_and_those_of_a_person_and_of_another_tier_stay(server: Server, api: Api) -> None:
    for minute in (1, 2, 3):
        server.snapshots[f"data-redis-0-{minute}"] = snapshot("data-redis-0", minute)
    server.snapshots["mine"] = snapshot("data-redis-0", 0, name="mine", labels=LABELS)
    theirs = {f"data-postgres-0-{minute}" for minute in range(4)}
    for name in theirs:
        labels = {**MADE, "app.kubernetes.io/name": "postgres"}
        server.snapshots[name] = snapshot("data-postgres-0", 0, name=name, labels=labels)
    assert take(api, task()) == []
    assert set(server.snapshots) == {"data-redis-0-3", "data-redis-0-night", "data-redis-1-night", "mine"} | theirs


def test_a_volume_that_cannot_be_copied_is_named_and_keeps_no_other_from_it(server: Server, api: Api) -> None:
    server.broken = {"data-redis-0"}
    server.snapshots = {f"data-redis-0-{minute}": snapshot("data-redis-0", minute) for minute in (1, 2)}
    assert take(api, task(keep=1)) == ["data-redis-0-night: not ready after 0 s; disk on fire"]
    assert set(server.snapshots) == {"data-redis-0-2", "data-redis-0-night", "data-redis-1-night"}


def test_one_that_is_never_looked_at_asks_for_the_controller(server: Server, api: Api) -> None:
    server.snapshots["data-redis-0-night"] = {**snapshot("data-redis-0", 1, name="data-redis-0-night"), "status": {}}
    assert take(api, task()) == [
        "data-redis-0-night: not ready after 0 s; is the cluster's snapshot controller running?"
    ]


def test_nothing_to_take_is_an_error(server: Server, api: Api) -> None:
    server.claims = []
    assert take(api, task()) == ["redis: no claim of it has a volume; there is nothing to take"]


@pytest.mark.parametrize(("missing", "keep"), [(0, 1), (1, 1), (0, 3)])
def test_the_last_that_are_ready_never_go(missing: int, keep: int) -> None:
    """However many failed since."""
    failed = [snapshot("a", minute, ready=False) for minute in range(20, 30)]
    ready = [snapshot("a", minute) for minute in range(10, 10 + keep - missing)]
    assert superfluous([*failed, *ready], keep) == []


def test_what_is_older_than_those_kept_goes_ready_or_not() -> None:
    found = [snapshot("a", 1), snapshot("a", 2, ready=False), snapshot("a", 3), snapshot("a", 4, ready=False)]
    assert superfluous([*found, snapshot("b", 1)], 1) == ["a-2", "a-1"]


def test_one_that_is_being_deleted_does_not_count() -> None:
    leaving = snapshot("a", 3, deletionTimestamp="2026-01-01T01:00:00Z")
    assert superfluous([leaving, snapshot("a", 2), snapshot("a", 1)], 1) == ["a-1"]


def test_the_program_says_what_the_api_server_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("sesame")
    (tmp_path / "namespace").write_text("data")
    monkeypatch.setattr(snapshots, "ACCOUNT", tmp_path)

    def trusting(cafile: str) -> None:
        assert cafile == str(tmp_path / "ca.crt")

    monkeypatch.setattr(snapshots.ssl, "create_default_context", trusting)
    values = {"WORKLOAD": "redis", "RUN": "night", "SNAPSHOT_CLASS": "platform", "KEEP": "2", "SECONDS_TO_READY": "0"}
    for name, value in {**values, "KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    original = Api

    def plain(url: str, **rest: Any) -> Api:
        assert url == "https://127.0.0.1:1"
        return original(url=server.url, **rest)

    monkeypatch.setattr(snapshots, "Api", plain)
    assert snapshots.main() == 0
    assert "data-redis-1-night: ready" in capsys.readouterr().out
    server.refused = 403
    assert snapshots.main() == 1
    assert "persistentvolumeclaims" in (shown := capsys.readouterr().err)
    assert '403 {"message": "no rights"}' in shown
    monkeypatch.setattr(snapshots, "Api", original)
    assert snapshots.main() == 1
    assert "https://127.0.0.1:1 does not answer: " in capsys.readouterr().err
