"""What every request passes before the framework: its id, its log line, its measure, its limits, and what is at hand.

A small ASGI layer written by hand, because all of it is paid on each request (``architecture.md``, figures).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterable, Sequence
from time import perf_counter
from typing import Any, Final
from uuid import uuid4

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api import security_headers
from api.client_address import ClientAddresses, neighbourhood
from api.cors import Cors
from api.limits import Limits, Standing
from api.metrics import Metrics
from api.problems import CODES, envelope
from api.ready import Ready, ReadyProducts
from api.wire import encode, snake_cased

log = structlog.get_logger("api")

MOST_BYTES: Final = 1024 * 1024
"""What a request's body may have (A25)."""

_ALIAS: Final = "/v1/"
_OPERATIONAL: Final = re.compile(r"/api/v1(/(?:health|metrics|docs)(?:/.*)?)")
_PRODUCT: Final = "/api/v1/products/"
_DOCUMENTATION: Final = "/docs"
_ACCOUNTS: Final = "/api/v1/auth/"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Anybody can make up others, and a measure of each would stay in memory for ever."""
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_MOST_DRAINED: Final = 16 * MOST_BYTES
_LONGEST_DRAINED: Final = 10.0
_DEPENDS: Final = frozenset({b"authorization", b"cookie", b"x-min-log-position"})
"""Headers on which an answer depends: with one of these it is the framework's to give."""

Header = tuple[bytes, bytes]


class Edge:
    """``documentation`` are the headers of the page of documentation, which is the only one with scripts."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        products: ReadyProducts,
        cors: Cors,
        addresses: ClientAddresses,
        limits: Limits | None = None,
        documentation: Sequence[Header] = security_headers.API,
        snake_case: bool = False,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._products = products
        self._cors = cors
        self._addresses = addresses
        self._limits = limits
        self._documentation = documentation
        self._snake_case = snake_case

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        asked = _asked(scope)
        address = self._addresses.of(scope)
        request_id = asked.request_id.decode()
        scope["state"] = state = {"request_id": request_id, "address": address, "prefix": _prefix(scope)}
        _route(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        status = 500
        body = _Body(receive) if asked.length > MOST_BYTES or asked.chunked else None

        async def send_marked(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._marked(scope, asked, message["headers"])
                if body is not None and status >= 400:
                    # Refused, perhaps unread; but a client that is still sending would not hear of it.
                    await body.drain()
            await send(message)

        snake_case = self._snake_case if asked.snake_case is None else asked.snake_case
        sending = _SnakeCase(send_marked) if snake_case else send_marked
        try:
            if not await self._answered_here(scope, asked, sending):
                await self._app(scope, receive if body is None else body, sending)
        finally:
            seconds = perf_counter() - began
            route: str = scope.get("path_template", "") or "unmatched"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._metrics.request(method, route, status, seconds)
            log.info(
                "request",
                method=method,
                path=route,
                status=status,
                ms=round(seconds * 1000, 2),
                actor=state.get("actor", "anonymous"),
                position=state.get("position"),
            )

    async def _answered_here(self, scope: HTTPScope, asked: _Asked, send: Send) -> bool:
        if asked.origin is not None and asked.preflight is not None:
            await self._tell_whether_allowed(asked, send)
            return True
        path = scope["path"]
        limits = self._limits
        subject = ""
        if limits is not None:
            subject = neighbourhood(scope["state"]["address"])
            standing = limits.any_request(path, subject)
            scope["state"]["standing"] = standing
            if standing is not None and standing.refused:
                await _refuse(scope, standing, send)
                return True
        if asked.depends or scope["method"] != "GET" or not path.startswith(_PRODUCT):
            return False
        scope["path_template"] = "/api/v1/products/{ref}"
        ready = self._products.at(path[len(_PRODUCT) :])
        if ready is None:
            return False
        if limits is not None:
            standing = limits.product_at_hand(subject)
            if standing.refused or standing.remaining < scope["state"]["standing"].remaining:
                scope["state"]["standing"] = standing
            if standing.refused:
                await _refuse(scope, standing, send)
                return True
        await _give(ready, send)
        return True

    async def _tell_whether_allowed(self, asked: _Asked, send: Send) -> None:
        granted = self._cors.preflight(asked.origin or b"", asked.preflight or b"", asked.preflight_headers)
        asked.origin = None  # all that there is to be granted is in there
        if granted:
            await _send(send, 204, list(granted), b"")
        else:
            message = "This origin, method or header is not allowed here"
            body = envelope(403, CODES[403], message, {}, asked.request_id.decode())
            await _send(send, 403, [(b"content-type", b"application/json")], encode(body))

    def _marked(self, scope: HTTPScope, asked: _Asked, headers: Iterable[Header]) -> list[Header]:
        """An answer's headers, and those that every answer has."""
        path = scope["path"]
        marked = [*headers, (b"x-request-id", asked.request_id)]
        marked += self._documentation if path.startswith(_DOCUMENTATION) else security_headers.API
        if asked.origin is not None:
            marked += self._cors.granted(asked.origin)
        standing: Standing | None = scope["state"].get("standing")
        if standing is not None:
            marked += standing.headers()
        personal = asked.identified or scope["method"] not in ("GET", "HEAD") or path.startswith(_ACCOUNTS)
        if personal and not any(name == b"cache-control" for name, _ in headers):
            marked.append(security_headers.NOT_TO_BE_KEPT)
        return marked


class _Asked:
    """What the headers say that matters here.

    ``depends``: the answer depends on who asks. ``identified``: they say who it is.
    """

    __slots__ = (
        "chunked",
        "depends",
        "identified",
        "length",
        "origin",
        "preflight",
        "preflight_headers",
        "request_id",
        "snake_case",
    )

    def __init__(self) -> None:
        self.chunked = False
        self.depends = False
        self.identified = False
        self.length = 0
        self.origin: bytes | None = None
        self.preflight: bytes | None = None
        self.preflight_headers = b""
        self.request_id = b""
        self.snake_case: bool | None = None


def _asked(scope: HTTPScope) -> _Asked:
    asked = _Asked()
    preflight = scope["method"] == "OPTIONS"
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            asked.request_id = value
        elif name == b"accept" and b"case=" in value:
            asked.snake_case = b"case=snake" in value.replace(b" ", b"")
        elif name in _DEPENDS:
            asked.depends = True
            asked.identified = asked.identified or name != b"x-min-log-position"
        elif name == b"origin":
            asked.origin = value
        elif name == b"content-length" and value.isdigit():
            asked.length = int(value)
        elif name == b"transfer-encoding":
            asked.chunked = True
        elif preflight and name == b"access-control-request-method":
            asked.preflight = value
        elif preflight and name == b"access-control-request-headers":
            asked.preflight_headers = value
    asked.request_id = asked.request_id or uuid4().hex.encode()
    return asked


class _Body:
    """A large body, or one of unknown length, of which something may be left when the answer is there."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._more = True

    async def __call__(self) -> Any:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def drain(self) -> None:
        """Read on, but neither for ever nor without end."""
        drained = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LONGEST_DRAINED):
                while self._more and drained < _MOST_DRAINED:
                    message = await self()
                    drained += len(message.get("body", b""))


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


async def _give(ready: Ready, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": ready.headers})
    await send({"type": "http.response.body", "body": ready.body, "more_body": False})


async def _refuse(scope: HTTPScope, standing: Standing, send: Send) -> None:
    refusal = standing.refusal()
    body = envelope(429, refusal.code, refusal.message, refusal.details, scope["state"]["request_id"])
    retry = (b"retry-after", b"%d" % standing.reset)
    await _send(send, 429, [(b"content-type", b"application/json"), retry], encode(body))


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    if status != 204:
        headers.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _prefix(scope: HTTPScope) -> str:
    """By which name of the API the request came."""
    return "/v1" if scope["path"].startswith(_ALIAS) else "/api/v1"


def _route(scope: Scope) -> None:
    """One path for each thing: ``/v1`` is ``/api/v1``, and what is for operators lives at the root (C1)."""
    path = scope["path"]
    if "\0" in path:
        path = path.replace("\0", "�")  # no row has it, and Postgres would refuse the question
    if path.startswith(_ALIAS):
        path = f"/api{path}"
    operational = _OPERATIONAL.fullmatch(path)
    scope["path"] = operational[1] if operational else path
