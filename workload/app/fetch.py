"""One page of the public web, bounded in time, size and redirects; connections go to addresses the guard checked."""

import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urljoin

import httpcore

from workload.app.addresses import Guard, Refused, Target, Unresolved

MAX_HEADERS = 64 * 1024


class Unavailable(Exception):  # noqa: N818 - it is an answer
    """The page could not be had this time: worth another attempt."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a server answered in the end, and where."""

    url: str
    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What one fetch may cost, redirects included."""

    seconds: float
    max_bytes: int
    max_redirects: int


class Budget:
    """What is left of a fetch. Enforced below the HTTP parser: a server that drips one byte a second gains no time."""

    def __init__(self, limits: Limits) -> None:
        self._end = time.monotonic() + limits.seconds
        self._bytes = limits.max_bytes + MAX_HEADERS

    def seconds(self) -> float:
        """Return the time that is left, or raise when there is none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise Unavailable("the page took too long")
        return left

    def spend(self, count: int) -> None:
        """Take these bytes off what may still be received."""
        self._bytes -= count
        if self._bytes < 0:
            raise Refused("the page is too large")


class BoundedStream(httpcore.NetworkStream):  # noqa: D101 - see Budget
    def __init__(self, stream: httpcore.NetworkStream, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, D102
        data = self._stream.read(max_bytes, self._budget.seconds())
        self._budget.spend(len(data))
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, D102
        self._stream.write(buffer, self._budget.seconds())

    def close(self) -> None:  # noqa: D102
        self._stream.close()

    def start_tls(  # noqa: D102
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore.NetworkStream:
        return BoundedStream(self._stream.start_tls(ssl_context, server_hostname, self._budget.seconds()), self._budget)

    def get_extra_info(self, info: str) -> Any:  # noqa: D102
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to checked addresses only. TLS still verifies the certificate against the name."""

    def __init__(self, guard: Guard, budget: Budget) -> None:
        self._guard = guard
        self._budget = budget
        self._network = httpcore.SyncBackend()

    def connect_tcp(  # noqa: D102
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        problem: Exception | None = None
        for address in self._guard.addresses(host, self._budget.seconds()):
            try:
                stream = self._network.connect_tcp(address, port, self._budget.seconds(), local_address, socket_options)
                return BoundedStream(stream, self._budget)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as failure:
                problem = failure
        raise problem or Unresolved(host)


@cache
def _tls() -> ssl.SSLContext:
    context = httpcore.default_ssl_context()
    context.load_default_certs()  # the machine's own authorities too, and SSL_CERT_FILE
    return context


def fetch(url: str, guard: Guard, limits: Limits) -> Page:
    """Return the page, or raise `Refused` when there never will be one, `Unavailable` when there may be one later."""
    budget = Budget(limits)
    for _ in range(limits.max_redirects + 1):
        target = guard.target(url)
        try:
            with httpcore.ConnectionPool(ssl_context=_tls(), network_backend=GuardedBackend(guard, budget)) as pool:
                page = _get(pool, target, limits)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, Unresolved) as problem:
            raise Unavailable(f"{target}: {problem or type(problem).__name__}") from problem
        if isinstance(page, Page):
            return page
        url = urljoin(str(target), page)
    raise Refused(f"more than {limits.max_redirects} redirects")


def _get(pool: httpcore.ConnectionPool, target: Target, limits: Limits) -> Page | str:
    """Return the page, or where it has moved."""
    # Uncompressed only: a body of a megabyte must not unpack into a gigabyte.
    headers = [
        ("Host", target.authority),
        ("User-Agent", "platform-workload"),
        ("Accept", "text/*"),
        ("Accept-Encoding", "identity"),
    ]
    url = httpcore.URL(
        scheme=target.scheme, host=target.host, port=target.port, target=target.path.encode("ascii", "strict")
    )
    with pool.stream("GET", url, headers=headers) as response:
        received = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
        if response.status in (301, 302, 303, 307, 308) and "location" in received:
            return received["location"]
        if response.status in (408, 425, 429) or response.status >= 500:
            raise Unavailable(f"{target} answered {response.status}")
        content_type = received.get("content-type", "text/html")
        if response.status != 200:
            raise Refused(f"{target} answered {response.status}")
        if not content_type.lower().startswith(("text/", "application/xhtml+xml")):
            raise Refused(f"{target} is not a text page but {content_type[:80]}")
        if received.get("content-encoding", "identity") != "identity":
            raise Refused(f"{target} is compressed although it was asked not to be")
        body = bytearray()
        for chunk in response.iter_stream():
            body += chunk
            if len(body) > limits.max_bytes:
                raise Refused(f"{target} is larger than {limits.max_bytes} bytes")
    return Page(str(target), response.status, content_type[:200], bytes(body))
