"""What every request passes before the framework: its id, its log line, its measure, its limits, and what is at hand.

A small ASGI layer written by hand, because all of it is paid on each request (``architecture.md``, figures). An answer
at hand pays for nothing else: so what it needs is looked at first, in the order in which it is needed.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping, Sequence
from random import getrandbits
from time import perf_counter
from typing import Any, Final, Protocol

import msgspec
import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from api import security_headers
from api.client_address import ClientAddresses, neighbourhood
from api.cors import Cors
from api.input import by_name
from api.limits import Limits, Standing
from api.metrics import Metrics
from api.problems import CODES, envelope
from api.ready import Key, Ready, ReadyAnswers, Shared, etag_of, is_among, lines_of
from api.wire import encode, snake_cased

MOST_BYTES: Final = 1024 * 1024
"""What a request's body may have (A25)."""

_HTTP: Final = ScopeType.HTTP
_ALIAS: Final = "/v1/"
_API: Final = "/api/v1/"
_OPERATIONAL: Final = re.compile(r"/api/v1(/(?:health|metrics|docs)(?:/.*)?)")
_DOCUMENTATION: Final = "/docs"
_ACCOUNTS: Final = "/api/v1/auth/"
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""Anybody can make up others, and a measure of each would stay in memory for ever."""
_READING: Final = frozenset({"GET", "HEAD"})
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_MOST_DRAINED: Final = 16 * MOST_BYTES
_LONGEST_DRAINED: Final = 10.0
_REMEMBERED: Final = re.compile(rb"(?:^|;) *logPosition=(\d{1,17}) *(?:;|$)")
_HEEDED: Final = frozenset(
    {
        b"x-request-id",
        b"accept",
        b"authorization",
        b"cookie",
        b"x-min-log-position",
        b"if-none-match",
        b"origin",
    }
)
_NAMING: Final = frozenset({b"authorization", b"cookie", b"x-min-log-position"})
_LONGEST_POSITION: Final = 18
_OF_THE_BODY: Final = frozenset({b"content-type", b"content-length"})
_OF_THE_ANSWER: Final = _OF_THE_BODY | {b"etag", b"cache-control", b"x-log-position"}
_REPLACED: Final = frozenset({b"etag", b"x-log-position"})

Header = tuple[bytes, bytes]

_JSON: Final[Header] = (b"content-type", b"application/json")
_EVERYBODYS: Final[Header] = (b"cache-control", b"public, max-age=0, must-revalidate")
"""Any cache may keep it and must ask us each time: no other hears of what happens, and a 304 costs next to nothing."""
_REVALIDATED: Final[Header] = (b"cache-control", b"private, no-cache")
"""The same for somebody who has said who they are: a cache that others use has no business with their requests."""
_VARY: Final[Header] = (b"vary", b"Origin, Accept, Authorization, Cookie, X-Min-Log-Position")
"""The spelling of keys, and what somebody may not see anything older than."""
_SECURE: Final = [header for header in security_headers.API if header[0] != b"vary"]


class RequestLog(Protocol):
    """Writes the line that each request leaves; ``path`` is its route, for in paths there may be names."""

    def __call__(
        self,
        *,
        method: str,
        path: str,
        status: int,
        ms: float,
        actor: str,
        position: int | None,
        request_id: str,
    ) -> None: ...


class Edge:
    """``documentation`` are the headers of the page of documentation, which is the only one with scripts."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        answers: ReadyAnswers,
        cors: Cors,
        addresses: ClientAddresses,
        limits: Limits | None = None,
        documentation: Sequence[Header] = security_headers.API,
        snake_case: bool = False,
        log: RequestLog | None = None,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._answers = answers
        self._cors = cors
        self._addresses = addresses
        self._limits = limits
        self._documentation = documentation
        self._snake_case = snake_case
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != _HTTP:
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        asked = _asked(scope, self._snake_case)
        given = self._given(scope, asked, began)
        if given is None:
            await self._ask(scope, asked, began, receive, send)
            return
        headers = [*given.headers, *given.more]
        try:
            await send({"type": "http.response.start", "status": given.status, "headers": headers})
            await send({"type": "http.response.body", "body": given.body, "more_body": False})
        finally:
            self._tell(scope["method"], given.route, given.status, began, request_id=asked.request_id)

    def at_hand(self, scope: HTTPScope) -> Given | None:
        """What can be answered at once, for a server that need not go through ASGI for it; it is counted as sent."""
        began = perf_counter()
        asked = _asked(scope, self._snake_case)
        given = self._given(scope, asked, began)
        if given is not None:
            self._tell(scope["method"], given.route, given.status, began, request_id=asked.request_id)
        return given

    def _given(self, scope: HTTPScope, asked: _Asked, now: float) -> Given | None:
        """What is at hand, for somebody of whom nothing else is to be found out."""
        if not asked.is_anybodys or scope["method"] not in _READING:
            return None
        key = _key_of(scope, asked)
        ready = self._answers.at(key, now, asked.wanted)
        if ready is None and not key[0].startswith(_API):
            ready = self._answers.at((_routed(key[0]), key[1], key[2]), now, asked.wanted)
        if ready is None:
            return None
        more = [ready.at, (b"x-request-id", asked.request_id)]
        if asked.origin is not None:
            more += self._cors.granted(asked.origin)
        if self._limits is not None:
            standing = self._limits.at_hand(ready.route, neighbourhood(self._addresses.of(scope)))
            more += standing.headers()
            if standing.refused:
                body = _refusal(standing, asked)
                headers = [header for header in (*ready.headers, *more) if header[0] not in _OF_THE_ANSWER]
                return Given(
                    route=ready.route,
                    status=429,
                    headers=headers,
                    more=_refused_headers(standing, body),
                    body=_sent(scope, body),
                )
        if asked.if_none_match and is_among(ready.etag, asked.if_none_match):
            return Given(route=ready.route, status=304, headers=ready.not_modified, more=more)
        body = _sent(scope, ready.body)
        return Given(route=ready.route, status=200, headers=ready.headers, more=more, body=body, ready=ready)

    async def _ask(self, scope: HTTPScope, asked: _Asked, began: float, receive: Receive, send: Send) -> None:
        """The framework."""
        method = scope["method"]
        if method == "HEAD":
            scope = scope.copy()  # the server looks into its own for how much is to be sent
        request_id = asked.request_id.decode()
        state: dict[str, Any]
        scope["state"] = state = {
            "request_id": request_id,
            "address": self._addresses.of(scope),
            "prefix": _prefix(scope),
        }
        scope["path"] = _routed(scope["path"])
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        _heed_body(asked, scope)
        body = _Body(receive) if asked.is_large else None
        outcome = _Outcome(self, scope, asked, body, send)
        sending: Send = _SnakeCase(outcome) if asked.snake_case else outcome
        if method == "HEAD":
            scope["method"] = HttpMethod.GET
        try:
            if not await self._answered_here(scope, asked, sending):
                await self._app(scope, receive if body is None else body, sending)
        finally:
            route: str = scope.get("path_template", "") or "unmatched"
            self._tell(
                method if method in _METHODS else "other",
                route,
                outcome.status,
                began,
                request_id=asked.request_id,
                actor=state.get("actor", "anonymous"),
                position=state.get("position"),
            )

    def _tell(
        self,
        method: str,
        route: str,
        status: int,
        began: float,
        *,
        request_id: bytes,
        actor: str = "anonymous",
        position: int | None = None,
    ) -> None:
        seconds = perf_counter() - began
        self._metrics.request(method, route, status, seconds)
        if self._log is not None:
            self._log(
                method=method,
                path=route,
                status=status,
                ms=round(seconds * 1000, 2),
                actor=actor,
                position=position,
                request_id=request_id.decode(),
            )

    async def _answered_here(self, scope: HTTPScope, asked: _Asked, send: Send) -> bool:
        if asked.origin is not None and asked.preflight is not None:
            await self._tell_whether_allowed(asked, send)
            return True
        if self._limits is not None:
            standing = self._limits.any_request(scope["path"], neighbourhood(scope["state"]["address"]))
            scope["state"]["standing"] = standing
            if standing is not None and standing.refused:
                body = _refusal(standing, asked)
                await _send(send, 429, _refused_headers(standing, body), body)
                return True
        return False

    async def _tell_whether_allowed(self, asked: _Asked, send: Send) -> None:
        granted = self._cors.preflight(asked.origin or b"", asked.preflight or b"", asked.preflight_headers)
        asked.origin = None  # all that there is to be granted is in there
        if granted:
            await _send(send, 204, list(granted), b"")
        else:
            message = "This origin, method or header is not allowed here"
            body = encode(envelope(403, CODES[403], message, {}, asked.request_id.decode()))
            await _send(send, 403, [_JSON, _length(body)], body)

    def marked(self, scope: HTTPScope, asked: _Asked, headers: Sequence[Header]) -> list[Header]:
        """An answer's headers, and those that every answer has."""
        path = scope["path"]
        marked = [*headers, (b"x-request-id", asked.request_id)]
        marked += self._documentation if path.startswith(_DOCUMENTATION) else security_headers.API
        if asked.origin is not None:
            marked += self._cors.granted(asked.origin)
        standing: Standing | None = scope["state"].get("standing")
        if standing is not None:
            marked += standing.headers()
        personal = asked.is_identified or scope["method"] != "GET" or path.startswith(_ACCOUNTS)
        if personal and not any(name == b"cache-control" for name, _ in headers):
            marked.append(security_headers.NOT_TO_BE_KEPT)
        return marked

    @property
    def moment(self) -> int:
        return self._answers.moment

    def made(
        self, scope: HTTPScope, asked: _Asked, headers: Sequence[Header], body: bytes, begun: int
    ) -> Ready:
        """An answer of the framework that is everybody's; it is at hand from now on, if it can be."""
        shared: Shared = scope["state"]["shared"]
        own = [header for header in headers if header[0] not in _REPLACED]
        told = dict(headers)
        if b"content-length" not in told:
            own.append(_length(body))
        etag = etag_of(body, told.get(b"etag", b""))
        always = [(b"etag", etag), _EVERYBODYS, _VARY, *_SECURE]
        ready = Ready(
            _key_of(scope, asked),
            shared,
            body,
            route=scope.get("path_template", ""),
            etag=etag,
            position=int(told.get(b"x-log-position", b"0")),
            headers=[*own, *always],
            not_modified=[*(header for header in own if header[0] not in _OF_THE_BODY), *always],
        )
        if not any(name == b"set-cookie" for name, _ in own):
            self._answers.keep(ready, shared, begun)
        return ready


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """An answer at hand: ``headers`` are those of ``ready``, where that is given; ``more`` are the request's own."""

    route: str
    status: int
    headers: Sequence[Header]
    more: Sequence[Header]
    body: bytes = b""
    ready: Ready | None = None

    def in_lines(self) -> bytes:
        """All headers, as they are sent."""
        always = lines_of(self.headers) if self.ready is None else self.ready.in_lines()
        return always + lines_of(self.more)


class _Outcome:
    """Where an answer of the framework leaves us: marked, and where it is everybody's with what caches want to know."""

    def __init__(self, edge: Edge, scope: HTTPScope, asked: _Asked, body: _Body | None, send: Send) -> None:
        self.status = 500
        self._edge = edge
        self._scope = scope
        self._asked = asked
        self._body = body
        self._send = send
        self._begun = edge.moment
        self._is_head = scope["method"] == "HEAD"
        self._start: Any = None
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] != "http.response.body":
            await self._send(message)
        elif self._start is not None:
            self._parts.append(message["body"])
            if not message.get("more_body"):
                await self._share(b"".join(self._parts))
        elif not self._is_head:
            await self._send(message)
        elif not message.get("more_body"):
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self, start: Any) -> None:
        self.status = start["status"]
        if self.status == 200 and "shared" in self._scope["state"]:
            self._start = start
            return
        start["headers"] = self._edge.marked(self._scope, self._asked, list(start["headers"]))
        if self._body is not None and self.status >= 400:
            # Refused, perhaps unread; but a client that is still sending would not hear of it.
            await self._body.drain()
        await self._send(start)

    async def _share(self, body: bytes) -> None:
        asked, own = self._asked, list(self._start["headers"])
        ready = self._edge.made(self._scope, asked, own, body, self._begun)
        if asked.if_none_match and is_among(ready.etag, asked.if_none_match):
            self.status, body = 304, b""
            own = [header for header in own if header[0] not in _OF_THE_BODY]
        own = [header for header in own if header[0] != b"etag"]
        caching = [(b"etag", ready.etag), _REVALIDATED if asked.is_identified else _EVERYBODYS, _VARY]
        headers = self._edge.marked(self._scope, asked, [*own, *caching])
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        sent = b"" if self._is_head else body
        await self._send({"type": "http.response.body", "body": sent, "more_body": False})


class _Asked:
    """What the headers say that matters here.

    ``is_anybodys``: nothing says who it is, so that what is answered to everybody may be answered at once, if it
    includes the position ``wanted``. ``is_identified``: they say who it is, or what a browser has kept of us.
    ``is_large``: there is a body that is, or may be.
    """

    is_anybodys = True
    is_identified = False
    wanted = 0
    is_large = False
    if_none_match = b""
    origin: bytes | None = None
    preflight: bytes | None = None
    preflight_headers = b""
    request_id = b""
    snake_case = False


def _asked(scope: HTTPScope, snake_case: bool) -> _Asked:
    asked = _Asked()
    asked.snake_case = snake_case
    heeded = {name: value for name, value in scope["headers"] if name in _HEEDED}
    if heeded:
        _heed(asked, heeded, scope)
    asked.request_id = asked.request_id or b"%032x" % getrandbits(128)
    return asked


def _heed(asked: _Asked, heeded: Mapping[bytes, bytes], scope: HTTPScope) -> None:
    given = heeded.get(b"x-request-id", b"")
    if _REQUEST_ID.fullmatch(given):
        asked.request_id = given
    accepted = heeded.get(b"accept", b"")
    if b"case=" in accepted:
        asked.snake_case = b"case=snake" in accepted.replace(b" ", b"")
    asked.origin = heeded.get(b"origin")
    if b"if-none-match" in heeded:
        asked.if_none_match = b", ".join(_all(scope, b"if-none-match"))
    if not _NAMING.isdisjoint(heeded):
        _heed_sender(asked, heeded, b"; ".join(_all(scope, b"cookie")))


def _heed_body(asked: _Asked, scope: HTTPScope) -> None:
    """What matters only where something may be changed."""
    heeded = dict(scope["headers"])
    length = heeded.get(b"content-length", b"")
    asked.is_large = b"transfer-encoding" in heeded or (length.isdigit() and int(length) > MOST_BYTES)
    if scope["method"] == "OPTIONS":
        asked.preflight = heeded.get(b"access-control-request-method")
        asked.preflight_headers = heeded.get(b"access-control-request-headers", b"")


def _all(scope: HTTPScope, wanted: bytes) -> list[bytes]:
    """What may come in several lines."""
    return [value for name, value in scope["headers"] if name == wanted]


def _heed_sender(asked: _Asked, heeded: Mapping[bytes, bytes], cookies: bytes) -> None:
    """Who it is, and what they must see (``api/reading.py``); what is odd in that is for the framework to refuse."""
    asked.is_identified = b"authorization" in heeded or b"cookie" in heeded
    least, remembered = heeded.get(b"x-min-log-position"), b"0"
    if b"logPosition" in cookies:
        found = _REMEMBERED.findall(cookies)
        remembered = found[0] if len(found) == cookies.count(b"logPosition") == 1 else b""
    wanted = remembered if least is None else least
    asked.is_anybodys = (
        b"authorization" not in heeded
        and b"accessToken" not in cookies
        and wanted.isdigit()
        and len(wanted) <= _LONGEST_POSITION
    )
    asked.wanted = int(wanted) if asked.is_anybodys else 0


def _key_of(scope: HTTPScope, asked: _Asked) -> Key:
    return scope["path"], by_name(scope["query_string"]), asked.snake_case


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


def _refusal(standing: Standing, asked: _Asked) -> bytes:
    refusal = standing.refusal()
    return encode(envelope(429, refusal.code, refusal.message, refusal.details, asked.request_id.decode()))


def _refused_headers(standing: Standing, body: bytes) -> list[Header]:
    return [_JSON, _length(body), (b"retry-after", b"%d" % standing.reset)]


def _sent(scope: HTTPScope, body: bytes) -> bytes:
    return b"" if scope["method"] == "HEAD" else body


def _length(body: bytes) -> Header:
    return b"content-length", b"%d" % len(body)


async def _send(send: Send, status: int, headers: list[Header], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _prefix(scope: HTTPScope) -> str:
    """By which name of the API the request came."""
    return "/v1" if scope["path"].startswith(_ALIAS) else "/api/v1"


def _routed(path: str) -> str:
    """One path for each thing: ``/v1`` is ``/api/v1``, and what is for operators lives at the root (C1)."""
    if "\0" in path:
        path = path.replace("\0", "�")  # no row has it, and Postgres would refuse the question
    if path.startswith(_ALIAS):
        path = f"/api{path}"
    operational = _OPERATIONAL.fullmatch(path)
    return operational[1] if operational else path
