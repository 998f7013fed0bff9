"""What every request passes before the framework: its id, its log line, its measure, and products that are at hand.

A small ASGI layer written by hand, because all of it is paid on each request (``architecture.md``, figures).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api.metrics import Metrics
from api.ready import Ready, ReadyProducts
from api.wire import snake_cased

log = structlog.get_logger("api")

MOST_BYTES: Final = 1024 * 1024
"""What a request's body may have (A25)."""

_ALIAS: Final = "/v1/"
_OPERATIONAL: Final = re.compile(r"/api/v1(/(?:health|metrics|docs)(?:/.*)?)")
_PRODUCT: Final = "/api/v1/products/"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_MOST_DRAINED: Final = 16 * MOST_BYTES
_WEIGHTY: Final = frozenset({b"authorization", b"cookie", b"origin", b"x-min-log-position"})
"""Headers on which an answer depends: with one of these it is the framework's to give."""


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
        asked = _asked(scope["headers"])
        if MOST_BYTES < asked.length <= _MOST_DRAINED:
            # It will be refused unread, but a client that is still sending would not hear of it.
            await _drain(receive)
        request_id = asked.request_id.decode()
        scope["state"] = state = {"request_id": request_id}
        _route(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", asked.request_id)]
            await send(message)

        snake_case = self._snake_case if asked.snake_case is None else asked.snake_case
        sending = _SnakeCase(send_marked) if snake_case else send_marked
        try:
            ready = None if asked.weighty else self._at_hand(scope)
            if ready is None:
                await self._app(scope, receive, sending)
            else:
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

    def _at_hand(self, scope: HTTPScope) -> Ready | None:
        path = scope["path"]
        if scope["method"] != "GET" or not path.startswith(_PRODUCT):
            return None
        scope["path_template"] = "/api/v1/products/{ref}"
        return self._products.at(path[len(_PRODUCT) :])


class _Asked:
    """What the headers say that matters here. ``weighty``: the answer depends on who asks, or from where."""

    __slots__ = ("length", "request_id", "snake_case", "weighty")

    def __init__(self) -> None:
        self.length = 0
        self.request_id = b""
        self.snake_case: bool | None = None
        self.weighty = False


def _asked(headers: Iterable[tuple[bytes, bytes]]) -> _Asked:
    asked = _Asked()
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            asked.request_id = value
        elif name == b"accept" and b"case=" in value:
            asked.snake_case = b"case=snake" in value.replace(b" ", b"")
        elif name in _WEIGHTY:
            asked.weighty = True
        elif name == b"content-length" and value.isdigit():
            asked.length = int(value)
    asked.request_id = asked.request_id or uuid4().hex.encode()
    return asked


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


async def _drain(receive: Receive) -> None:
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)


def _route(scope: Scope) -> None:
    """One path for each thing: ``/v1`` is ``/api/v1``, and what is for operators lives at the root (C1)."""
    path = scope["path"]
    if "\0" in path:
        path = path.replace("\0", "�")  # no row has it, and Postgres would refuse the question
    if path.startswith(_ALIAS):
        path = f"/api{path}"
    operational = _OPERATIONAL.fullmatch(path)
    scope["path"] = operational[1] if operational else path
