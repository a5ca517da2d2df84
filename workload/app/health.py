"""What a process tells of itself on its port: alive, ready, and its metrics. The API serves the same itself."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], None]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Readiness:
    """`required` decides. `reported` is only told: the process serves without it, so taking it out helps nobody."""

    required: Mapping[str, Check]
    reported: Mapping[str, Check] = field(default_factory=dict[str, Check])

    def answer(self) -> tuple[bool, dict[str, str]]:
        """Ask each dependency: whether the process is ready, and what each one said."""
        required = {name: _result(check) for name, check in self.required.items()}
        reported = {name: _result(check) for name, check in self.reported.items()}
        return all(result == "ok" for result in required.values()), required | reported


def _result(check: Check) -> str:
    try:
        check()
    except Exception as problem:  # noqa: BLE001 - whatever a client library raises, it is not usable now
        log.warning("a dependency does not answer", extra={"problem": str(problem)})
        return "unavailable"
    return "ok"


def serve(port: int, readiness: Readiness) -> ThreadingHTTPServer:
    """Answer on this port, from a thread of its own, until the server is shut down."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/healthz":
                self._send(200, b'{"alive": true}')
            elif self.path == "/readyz":
                ready, checks = readiness.answer()
                self._send(200 if ready else 503, json.dumps(checks).encode())
            elif self.path == "/metrics":
                self._send(200, generate_latest(), CONTENT_TYPE_LATEST)
            else:
                self._send(404, b'{"detail": "not found"}')

        def _send(self, status: int, body: bytes, content_type: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Silent: probes ask every few seconds."""

    server = ThreadingHTTPServer(("", port), Handler)
    Thread(target=server.serve_forever, name="health", daemon=True).start()
    return server
