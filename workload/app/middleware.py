"""What every request passes through: its id, a bounded body, one log line, its metrics."""

import asyncio
import json
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workload.app import log, metrics

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10.0
# Asked every few seconds by the platform; a line each would bury the rest.
QUIET = frozenset({"/healthz", "/readyz", "/metrics"})

logger = logging.getLogger("workload.app.request")


class Requests:
    """The outermost ASGI application, so that whatever goes wrong inside is logged with the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        offered = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        with log.request(log.accepted(offered)):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                identifier = (b"x-request-id", log.request_id.get().encode())
                message = {**message, "headers": [*message.get("headers", ()), identifier]}
            await send(message)

        try:
            body = await _body(receive)
            if isinstance(body, bytes):
                await self._app(scope, _replay(body, receive), send_with_id)
            elif body is not None:
                await _refuse(body, send_with_id)
        except Exception:
            # The client has its 500, if anything could still be sent; the server would log this without the id.
            logger.exception("unexpected error")
        finally:
            _record(scope, status, time.perf_counter() - started)


async def _body(receive: Receive) -> bytes | int | None:
    """Return the whole body, the status that refuses it, or None when the client has gone. No endpoint takes much."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                body += message.get("body", b"")
                if len(body) > MAX_BODY_BYTES:
                    return 413
                if not message.get("more_body", False):
                    return bytes(body)
    except TimeoutError:
        return 408


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return pending.pop() if pending else await receive()

    return replayed


async def _refuse(status: int, send: Send) -> None:
    why = {413: f"the body is larger than {MAX_BODY_BYTES} bytes", 408: "the body did not arrive in time"}[status]
    body = json.dumps({"detail": why}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _record(scope: Scope, status: int, seconds: float) -> None:
    # The route's template, not the path: a metric must not grow with the number of jobs.
    route = getattr(scope.get("route"), "path", "unmatched")
    metrics.REQUESTS.labels(scope["method"], route, status).inc()
    metrics.REQUEST_SECONDS.labels(scope["method"], route).observe(seconds)
    if scope["path"] not in QUIET:
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
        }
        logger.info("request", extra=fields)
