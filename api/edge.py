"""What every request passes before the framework: its id, its log line, its measure, and products that are at hand.

A small ASGI layer written by hand, because all of it is paid on each request (``architecture.md``, figures).
"""

from __future__ import annotations

import re
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.ready import ReadyProducts
from api.wire import snake_cased

log = structlog.get_logger("api")

_ALIAS: Final = "/v1/"
_OPERATIONAL: Final = re.compile(r"/api/v1(/(?:health|metrics|docs)(?:/.*)?)")
_PRODUCT: Final = "/api/v1/products/"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_PERSONAL_HEADERS: Final = frozenset({b"authorization", b"cookie", b"x-min-log-position"})


class Edge:
    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, products: ReadyProducts, snake_case: bool = False
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._products = products
        self._snake_case = snake_case

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        request_id = b""
        snake_case, personal = self._snake_case, False
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                request_id = value
            elif name == b"accept" and b"case=" in value:
                snake_case = b"case=snake" in value.replace(b" ", b"")
            elif name in _PERSONAL_HEADERS:
                personal = True
        request_id = request_id or uuid4().hex.encode()
        state: dict[str, Any] = {"request_id": request_id.decode()}
        scope["state"] = state
        _route(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=state["request_id"])
        status = 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        sending = _SnakeCase(send_marked) if snake_case else send_marked
        path = scope["path"]
        try:
            ready = None
            if not personal and scope["method"] == "GET" and path.startswith(_PRODUCT):
                ready = self._products.at(path[len(_PRODUCT) :])
            if ready is None:
                await self._app(scope, receive, sending)
            else:
                scope["path_template"] = "/api/v1/products/{ref}"
                await sending({"type": "http.response.start", "status": 200, "headers": ready.headers})
                await sending({"type": "http.response.body", "body": ready.body, "more_body": False})
        finally:
            seconds = perf_counter() - began
            route: str = scope.get("path_template", "") or "unmatched"
            self._metrics.request(scope["method"], route, status, seconds)
            log.info(
                "request",
                method=scope["method"],
                path=route,
                status=status,
                ms=round(seconds * 1000, 2),
                actor=state.get("actor", "anonymous"),
                position=state.get("position"),
            )


class _SnakeCase:
    """Holds an answer back until it is whole, and sends it with its keys in snake_case."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Any = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            if not any(name == b"content-type" and b"json" in value for name, value in headers):
                self._parts = []
                await self._send(message)
                return
            self._start = message
            return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._parts.append(message["body"])
        if message.get("more_body"):
            return
        whole = b"".join(self._parts)
        body = snake_cased(whole) if whole else whole
        headers = [header for header in self._start["headers"] if header[0] != b"content-length"]
        self._start["headers"] = [*headers, (b"content-length", b"%d" % len(body))]
        await self._send(self._start)
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


def _route(scope: Scope) -> None:
    """One path for each thing: ``/v1`` is ``/api/v1``, and what is for operators lives at the root (C1)."""
    path = scope["path"]
    if "\0" in path:
        path = path.replace("\0", "�")  # no row has it, and Postgres would refuse the question
    if path.startswith(_ALIAS):
        path = f"/api{path}"
    operational = _OPERATIONAL.fullmatch(path)
    scope["path"] = operational[1] if operational else path
