"""Fetching a page from a server that may be anything: each connection is checked, and time, size and redirects are bounded."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.processes import program
from workload.app.addresses import Guard, Refused
from workload.app.fetch import Limits, Unavailable, fetch
from workload.app.fetch import _tls as tls

PUBLIC = "93.184.216.34"
LIMITS = Limits(seconds=3, max_bytes=10_000, max_redirects=2)


class Site(BaseHTTPRequestHandler):
    """A web server that misbehaves in the ways a path asks for."""

    protocol_version = "HTTP/1.1"
    hosts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        type(self).hosts.append(self.headers["Host"])
        path, _, rest = self.path.partition("?")
        if path == "/to":
            self.answer(302, b"", {"Location": rest})
        elif path == "/loop":
            self.answer(302, b"", {"Location": "/loop"})
        elif path == "/large":
            self.answer(200, b"x" * 20_000)
        elif path == "/endless":
            self.stream(lambda: b"400\r\n" + b"x" * 1024 + b"\r\n")
        elif path == "/drip":
            self.stream(lambda: self.server_waits() or b"1\r\nx\r\n")
        elif path == "/drip-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self.drip(lambda: self.server_waits() or b"X: y\r\n")
        elif path == "/gzip":
            self.answer(200, b"\x1f\x8b", {"Content-Encoding": "gzip"})
        elif path == "/image":
            self.answer(200, b"\x89PNG", {"Content-Type": "image/png"})
        elif path.startswith("/status/"):
            self.answer(int(path.rpartition("/")[2]), b"")
        else:
            self.answer(200, b"<title>Hello</title>", {"Content-Type": "text/html; charset=utf-8"})

    def server_waits(self) -> None:
        threading.Event().wait(0.2)

    def stream(self, piece: Callable[[], bytes]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.drip(piece)

    def drip(self, piece: Callable[[], bytes]) -> None:
        self.close_connection = True
        try:
            while True:
                self.wfile.write(piece())
                self.wfile.flush()
        except OSError:
            return  # the client has had enough, which is what the test waits for

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "text/html", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is inherited
        """Say nothing."""


@pytest.fixture
def site() -> Generator[str]:
    """Lend the address of a site on loopback that the guard of these tests allows by the name `site`."""
    Site.hosts = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://site:{server.server_port}"
        server.shutdown()
        thread.join()


ALLOWED = Guard(frozenset({"site"}), lambda _: ["127.0.0.1"])


def test_a_page_is_fetched_from_the_checked_address_under_its_own_name(site: str) -> None:
    page = fetch(f"{site}/page", ALLOWED, LIMITS)
    assert (page.status, page.body, page.content_type) == (200, b"<title>Hello</title>", "text/html; charset=utf-8")
    assert Site.hosts == [site.removeprefix("http://")]


def test_a_redirect_is_followed(site: str) -> None:
    assert fetch(f"{site}/to?/page", ALLOWED, LIMITS).url == f"{site}/page"


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.1/", "http://169.254.169.254/latest/", "http://postgres.data.svc/", "//localhost/", "file:///etc/passwd",
     "http://0x7f.1/", "http://u:p@site/", "http://[::1]/"],
)  # fmt: skip
def test_a_redirect_is_checked_again(site: str, location: str) -> None:
    with pytest.raises(Refused):
        fetch(f"{site}/to?{location}", ALLOWED, LIMITS)


def test_a_redirect_to_a_name_that_resolves_to_a_private_address_is_refused(site: str) -> None:
    guard = Guard(frozenset({"site"}), lambda host: ["127.0.0.1"] if host == "site" else ["10.0.0.1"])
    with pytest.raises(Refused, match=r"innocent\.example\.org is 10\.0\.0\.1"):
        fetch(f"{site}/to?http://innocent.example.org/", guard, LIMITS)


def test_a_name_that_changes_its_answer_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rebinding: public when it is checked, private when it is used. The name is looked up once, and that answer is the one called."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    connected: list[tuple[str, int]] = []

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        connected.append(address)
        raise OSError("this test has no network")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Unavailable):
        fetch("http://rebinding.example.org/", Guard(lookup=lambda _: next(answers)), LIMITS)
    assert connected == [(PUBLIC, 80)]


def test_each_connection_is_checked_again() -> None:
    """The same name, twice in one fetch: the second answer is private and is not excused by the first."""
    answers = iter([[PUBLIC], ["127.0.0.1"]])
    guard = Guard(lookup=lambda _: next(answers))
    assert guard.addresses("rebinding.example.org", 1) == [PUBLIC]
    with pytest.raises(Refused):
        fetch("http://rebinding.example.org/", guard, LIMITS)


@pytest.fixture
def secure_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[int]:
    """Lend the port of the site over TLS, whose certificate is for `site` and is trusted."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    command = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    command += [
        "-subj",
        "/CN=site",
        "-addext",
        "subjectAltName=DNS:site",
        "-keyout",
        str(key),
        "-out",
        str(certificate),
    ]
    subprocess.run([program("openssl", "openssl"), *command], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr("workload.app.fetch._tls", tls.__wrapped__)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_tls_is_verified_against_the_name_though_the_address_is_called(secure_site: int) -> None:
    guard = Guard(frozenset({"site", "other"}), lambda _: ["127.0.0.1"])
    assert fetch(f"https://site:{secure_site}/page", guard, LIMITS).status == 200
    with pytest.raises(Unavailable, match="certificate"):
        fetch(f"https://other:{secure_site}/page", guard, LIMITS)


@pytest.mark.parametrize("path", ["/loop", "/large", "/endless", "/gzip", "/image", "/status/404", "/status/204"])
def test_an_answer_that_is_final_is_refused(site: str, path: str) -> None:
    with pytest.raises(Refused):
        fetch(f"{site}{path}", ALLOWED, LIMITS)


@pytest.mark.parametrize("path", ["/status/500", "/status/503", "/status/429"])
def test_an_answer_that_may_change_is_tried_again(site: str, path: str) -> None:
    with pytest.raises(Unavailable):
        fetch(f"{site}{path}", ALLOWED, LIMITS)


@pytest.mark.parametrize("path", ["/drip", "/drip-headers"])
def test_a_dripping_server_costs_no_more_than_its_time(site: str, path: str) -> None:
    started = time.monotonic()
    with pytest.raises(Unavailable):
        fetch(f"{site}{path}", ALLOWED, Limits(seconds=0.5, max_bytes=10_000, max_redirects=0))
    assert time.monotonic() - started < 5
