"""The frontend on a real nginx: the page, the way to the API, and what is said when the API or its name is away."""

import json
import re
import shutil
import socket
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.processes import (
    REPOSITORY,
    Answer,
    as_user,
    ask,
    eventually,
    folder_of,
    free_port,
    program,
    running,
)

FRONTEND = REPOSITORY / "workload/frontend"
USER = "10001"
NAME = "api.app.svc.cluster.local"


@dataclass
class Nginx:
    """A running frontend."""

    url: str
    log: Path

    def ask(self, path: str, data: object = None, **headers: str) -> Answer:
        return ask(f"{self.url}{path}", data, {name.replace("_", "-"): value for name, value in headers.items()})

    def line(self, path: str) -> dict[str, object]:
        """Return the access log's line for this path."""

        def found() -> list[str]:
            return [line for line in self.log.read_text().splitlines() if f'"path":"{path}"' in line]

        return json.loads(eventually(found, "the request is logged")[-1])


@contextmanager
def nginx(api_url: str, resolver: str = "127.0.0.1") -> Generator[Nginx]:
    """Run the frontend as its container does: as its own user, writing to its temporary folder only."""
    program("nginx", "nginx-light")
    with folder_of(USER) as folder:
        shutil.copytree(FRONTEND, folder / "frontend")
        log, port = folder / "log", free_port()
        log.touch()
        if as_user(USER):
            shutil.chown(log, int(USER))
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "API_URL": api_url,
            "PORT": str(port),
            "RESOLVER": resolver,
            "TMPDIR": str(folder),
        }
        with running([*as_user(USER), str(folder / "frontend/entrypoint.sh")], log, environment) as process:
            frontend = Nginx(f"http://127.0.0.1:{port}", log)

            def ready() -> bool:
                assert process.poll() is None, log.read_text()
                return frontend.ask("/readyz").status == 200

            eventually(ready, "nginx answers")
            yield frontend


@dataclass
class Upstream:
    """An API server that keeps what it was asked, and hangs up on the first few requests if told to."""

    port: int = 0
    asked: list[tuple[str, str, str | None]] = field(default_factory=list[tuple[str, str, str | None]])
    hang_up: int = 0


@pytest.fixture
def upstream() -> Generator[Upstream]:
    state = Upstream()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.command, self.path, self.headers["X-Request-Id"]))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if state.hang_up:
                state.hang_up -= 1
                return
            self.send_response(200)
            self.send_header("X-Request-Id", "the API's own")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.port = server.server_port
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield state
        server.shutdown()


@pytest.fixture
def frontend(upstream: Upstream) -> Generator[Nginx]:
    with nginx(f"http://127.0.0.1:{upstream.port}") as frontend:
        yield frontend


def test_the_page_is_served_under_a_policy_that_forbids_inline_code(frontend: Nginx) -> None:
    page = frontend.ask("/")
    html = page.body.decode()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "nginx/" not in page.headers["server"]
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=|javascript:", html)
    for asset in re.findall(r'(?:src|href)="([\w.]+)"', html):
        assert frontend.ask(f"/{asset}").status == 200
    assert frontend.ask("/nowhere").status == 404
    assert frontend.ask("/../nginx.conf.template").status in {400, 404}
    assert frontend.ask("/healthz").status == 200


def test_the_page_shows_what_it_is_told_as_text_only() -> None:
    """Keep a scraped title, which is a stranger's text, from becoming markup."""
    script = (FRONTEND / "public/page.js").read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b", script)


def test_the_request_id_goes_from_the_edge_to_the_api_and_into_the_log(frontend: Nginx, upstream: Upstream) -> None:
    answer = frontend.ask("/api/jobs?limit=5", X_Request_Id="edge-42")
    assert answer.headers["x-request-id"] == "edge-42"
    assert upstream.asked == [("GET", "/api/jobs?limit=5", "edge-42")]
    line = frontend.line("/api/jobs")
    assert (line["request_id"], line["status"], line["service"]) == ("edge-42", 200, "frontend")
    made = frontend.ask("/api/jobs", X_Request_Id='x","level":"error')
    assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
    assert upstream.asked[-1][2] == made.headers["x-request-id"]


def test_a_read_is_repeated_once_and_a_submission_never(frontend: Nginx, upstream: Upstream) -> None:
    upstream.hang_up = 1
    assert frontend.ask("/api/jobs").status == 200
    assert len(upstream.asked) == 2
    upstream.hang_up = 1
    refused = frontend.ask("/api/jobs", {"url": "http://example.org/"})
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert [method for method, _, _ in upstream.asked] == ["GET", "GET", "POST"]


def test_a_large_body_is_refused_before_the_api(frontend: Nginx, upstream: Upstream) -> None:
    assert frontend.ask("/api/jobs", b"x" * 20_000).status == 413
    assert upstream.asked == []


def test_an_api_that_is_away_is_said_politely_while_the_page_is_served() -> None:
    with nginx(f"http://127.0.0.1:{free_port()}") as frontend:
        refused = frontend.ask("/api/jobs")
        assert (refused.status, refused.headers["retry-after"]) == (503, "5")
        assert refused.json["detail"]
        assert refused.headers["content-type"].startswith("application/json")
        assert frontend.ask("/").status == 200


@contextmanager
def name_server(port: int) -> Generator[None]:
    """Answer any name with 127.0.0.1, and with no IPv6 address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))

        def serve() -> None:
            while (message := server.recvfrom(512))[0] != b"stop":
                query, client = message
                is_ipv4 = query[-4:-2] == b"\x00\x01"
                answer = (
                    b"\xc0\x0c\x00\x01\x00\x01" + struct.pack(">IH", 1, 4) + b"\x7f\x00\x00\x01" if is_ipv4 else b""
                )
                counts = struct.pack(">HHHH", 1, int(is_ipv4), 0, 0)
                server.sendto(query[:2] + b"\x81\x80" + counts + query[12:] + answer, client)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"stop", ("127.0.0.1", port))
        thread.join()


def test_nginx_starts_before_the_name_of_the_api_is_there(upstream: Upstream) -> None:
    port = free_port()
    with nginx(f"http://{NAME}:{upstream.port}", f"127.0.0.1:{port}") as frontend:
        assert frontend.ask("/").status == 200
        with name_server(port):
            eventually(lambda: frontend.ask("/api/jobs").status == 200, "the name is found")


@pytest.mark.parametrize(
    ("api_url", "resolver", "named"),
    [
        ("", "127.0.0.1", "API_URL: is not set"),
        ("http://api; } evil {", "127.0.0.1", "API_URL: is not of the form"),
        ("http://api/path", "127.0.0.1", "API_URL: is not of the form"),
        ("http://api\nevil", "127.0.0.1", "API_URL: is not of the form"),
        ("http://api", "evil;", "RESOLVER: no name server"),
    ],
)
def test_an_environment_that_is_wrong_is_named(tmp_path: Path, api_url: str, resolver: str, named: str) -> None:
    log = tmp_path / "log"
    environment = {"PATH": "/usr/bin:/bin", "API_URL": api_url, "RESOLVER": resolver, "TMPDIR": str(tmp_path)}
    with running([str(FRONTEND / "entrypoint.sh")], log, environment) as process:
        assert process.wait(10) == 2
    assert named in json.loads(log.read_text())["message"]
