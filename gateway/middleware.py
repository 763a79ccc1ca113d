"""What happens to every request, whatever its route: a context, a log line, a measurement, safe headers, limits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import cast
from urllib.parse import unquote_to_bytes

from fastapi import Request
from loguru import logger
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.text import is_storable
from gateway.context import RequestContext
from gateway.errors import HINTS, TOO_LARGE, problem, unexpected
from gateway.metrics import RequestMetrics

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
_SAFE = [(name.lower().encode(), value.encode()) for name, value in SAFE_HEADERS.items()]
_NO_STORE = (b"cache-control", b"no-store")


class RequestScope:
    """The outermost one: gives the request its context, answers for unexpected errors, logs and measures the end."""

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = cast(Request, HTTPConnection(scope))
        context = request.state.context = RequestContext.of(Headers(scope=scope))
        status = 0
        began = time.perf_counter()

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"].endswith(".start"):
                status = message["status"]
                _add_headers(message, context)
            elif message["type"] == "websocket.accept":
                status = 101
                _add_headers(message, context)
            elif message["type"] == "websocket.close" and not status:
                status = 403
            await send(message)

        ids = {"request_id": context.request_id, "trace_id": context.trace_id, "span_id": context.span_id}
        with logger.contextualize(**ids):
            try:
                await self._app(scope, receive, send_safely)
            except Exception as error:
                refusal = unexpected(request, error)
                if status:
                    raise
                await refusal(scope, receive, send_safely)
            finally:
                self._finish(scope, status, time.perf_counter() - began)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        state = scope["state"]
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope.get("method", "WEBSOCKET")
        self._metrics.observe(route, method, status, seconds, state.get("problem"))
        logger.bind(
            method=method,
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 1),
            subject=state["caller"].actor.subject if "caller" in state else None,
            **_named_ids(scope),
        ).info("{} {} {}", method, scope["path"], status)


class Limits:
    """Refuses bodies that are too large, and addresses with text that no database could hold."""

    def __init__(self, app: ASGIApp, max_body_bytes: int, larger: Mapping[str, int]) -> None:
        """`larger`: what the addresses that begin so take instead."""
        self._app = app
        self._max = max_body_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = cast(Request, HTTPConnection(scope))
        length = request.headers.get("content-length", "0")
        most = next((most for begin, most in self._larger.items() if scope["path"].startswith(begin)), self._max)
        if length.isdecimal() and int(length) > most:
            await problem(request, TOO_LARGE, 413, HINTS[413])(scope, receive, send)
            return
        if not _is_text(scope["query_string"]) or not _is_text(scope.get("raw_path", b"")):
            refusal = problem(request, "invalid-request", 422, "the address holds NUL, or bytes that are not UTF-8")
            await refusal(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_counted if scope["type"] == "http" else receive, send)


def _add_headers(message: Message, context: RequestContext) -> None:
    """No route sets any of them but Cache-Control."""
    headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
    if not any(name == b"cache-control" for name, _ in headers):
        headers.append(_NO_STORE)
    headers += _SAFE
    headers.append((b"x-request-id", context.request_id.encode()))
    headers.append((b"traceparent", context.traceparent.encode()))
    message["headers"] = headers


def _named_ids(scope: Scope) -> dict[str, str]:
    """The ids in the address under names that a search in the logs would use: `run`, `preference`, `dataset` ..."""
    return {name.removesuffix("_id"): str(value) for name, value in scope.get("path_params", {}).items()}


def _is_text(encoded: bytes) -> bool:
    try:
        return is_storable(unquote_to_bytes(encoded).decode())
    except UnicodeDecodeError:
        return False
