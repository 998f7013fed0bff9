"""Carrying out what a request asks for: once per ``Idempotency-Key``, and under ``If-Match``."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar.connection import Request
from litestar.response.base import ASGIResponse

from api.authentication import Connection, actor_of, impersonator_of
from api.client_address import address_of, neighbourhood
from api.cookies import REFRESH, cookie
from api.wire import answer, encode
from application.bus import CommandBus
from application.ports import AlreadyAnsweredError, Answer, Changed, Keys, Metadata, Once
from domain.kernel import InvalidInputError

HttpRequest = Request[Any, Any, Any]
View = Callable[[Any], Any]
"""Makes an answer's body of the new state."""

_KEY: Final = re.compile(r"[\x20-\x7e]{1,255}")
_VERSION: Final = re.compile(r'(?:W/)?"(\d{1,18})(?:-[0-9a-f]{16})?"')
"""As answers to commands have it, or in front of what else changes an answer to a question (``api/ready.py``)."""
_COOKIE: Final = b"logPosition=%d; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """What a command came to, as its answer; ``changed`` is absent where the answer was given before.

    ``seen`` is what a browser is to remember that it has seen; nothing, where it remembers that or more.
    """

    status: int
    body: bytes
    position: int
    seen: int = 0
    version: int = 0
    changed: Changed[Any] | None = None

    def response(self, cookies: Sequence[tuple[bytes, bytes]] = ()) -> ASGIResponse:
        headers = [*cookies]
        if self.seen:
            headers.append((b"set-cookie", _COOKIE % self.seen))
        if self.changed is None:
            headers.append((b"idempotency-replayed", b"true"))
        return answer(
            self.body,
            status=self.status,
            position=self.position,
            version=self.version,
            headers=tuple(headers),
        )


class Acknowledged:
    """The last position that this process told each actor, who must not see anything older afterwards."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._positions: OrderedDict[str, int] = OrderedDict()

    def of(self, actor: str) -> int:
        return self._positions.get(actor, 0)

    def note(self, actor: str, position: int) -> None:
        if position > self.of(actor):
            self._positions[actor] = position
            self._positions.move_to_end(actor)
            if len(self._positions) > self._most:
                self._positions.popitem(last=False)


class Commands:
    def __init__(
        self,
        bus: CommandBus,
        keys: Keys,
        acknowledged: Acknowledged,
        *,
        addressed: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """``addressed`` says in ready bytes where pictures are to be had."""
        self._bus = bus
        self._addressed = addressed
        self._keys = keys
        self._acknowledged = acknowledged

    async def answer(
        self,
        request: HttpRequest,
        command: object,
        view: View | None,
        *,
        status: int = 200,
        conditional: bool = False,
        person: Callable[[Any], UUID | None] | None = None,
    ) -> ASGIResponse:
        """Carry out and answer with ``view`` of the new state; ``conditional`` ones heed ``If-Match``.

        ``person`` says of the new state whom the answer tells about, where that is not who asked; nothing, where it
        tells about nobody else after all.
        """
        carried = await self.carry_out(
            request, command, view, status=status, conditional=conditional, person=person
        )
        return carried.response()

    async def carry_out(
        self,
        request: HttpRequest,
        command: object,
        view: View | None,
        *,
        status: int = 200,
        conditional: bool = False,
        person: Callable[[Any], UUID | None] | None = None,
    ) -> Carried:
        bodies: list[bytes] = []

        def body_of(state: Any) -> bytes:
            return b"" if view is None else self._addressed(encode(view(state)))

        def recorded(changed: Changed[Any]) -> Answer:
            bodies.append(body_of(changed.state))
            whose = person(changed.state) if person is not None else None
            return Answer(status=status, body=bodies[-1], person=whose)

        metadata = await self._metadata(request, recorded, conditional)
        try:
            changed = await self._bus.handle(command, metadata)
        except AlreadyAnsweredError as before:
            self._note(request, before.position)
            return Carried(
                status=before.answer.status,
                body=before.answer.body,
                position=before.position,
                seen=self._seen(request, before.position),
            )
        self._note(request, changed.position)
        whom = person(changed.state) if person is not None else None
        if whom is not None:
            # Nobody was signed in to ask, and whoever it was about will look next.
            self._acknowledged.note(f"user:{whom}", changed.position)
        # Made while the command was recorded, if it was: the same decision has the same answer.
        body = bodies[-1] if bodies else body_of(changed.state)
        return Carried(
            status=status,
            body=body,
            position=changed.position,
            seen=self._seen(request, changed.position),
            version=changed.version,
            changed=changed,
        )

    async def also(self, request: HttpRequest, command: object, *, actor: str = "") -> Changed[Any]:
        """A command that follows from the request's own one and may be repeated by itself."""
        metadata = Metadata(
            actor=actor or actor_of(request),
            impersonator=impersonator_of(request),
            request_id=request.scope["state"]["request_id"],
        )
        changed = await self._bus.handle(command, metadata)
        self._note(request, changed.position)
        return changed

    async def once(
        self,
        request: HttpRequest,
        command: object,
        *,
        actor: str,
        key: str,
        body: bytes,
        person: Callable[[Any], UUID],
    ) -> Changed[Any] | None:
        """A message of ``actor`` that has an id of its own; ``None`` if it was dealt with before.

        ``person`` says of the new state, if there is one, whom it was about: they may be told of it by whatever they
        do next, and then must see it.
        """
        hashed = self._keys.request_hash(key.encode())
        metadata = Metadata(
            actor=actor,
            request_id=request.scope["state"]["request_id"],
            once=Once(
                scope=actor, key=key, request_hash=hashed, answer=lambda _: Answer(status=200, body=body)
            ),
        )
        try:
            changed = await self._bus.handle(command, metadata)
        except AlreadyAnsweredError:
            return None
        self._note(request, changed.position)
        if changed.state is not None:
            self._acknowledged.note(f"user:{person(changed.state)}", changed.position)
        return changed

    async def _metadata(
        self, request: HttpRequest, recorded: Callable[[Any], Answer], conditional: bool
    ) -> Metadata:
        return Metadata(
            actor=actor_of(request),
            impersonator=impersonator_of(request),
            request_id=request.scope["state"]["request_id"],
            expected_version=_expected_version(request) if conditional else None,
            once=await self.key_of(request, recorded),
        )

    async def key_of(self, request: HttpRequest, recorded: Callable[[Any], Answer]) -> Once | None:
        """By what the request is known when it is repeated; nothing where its sender gave no ``Idempotency-Key``."""
        key = request.headers.get("idempotency-key")
        if key is None:
            return None
        if not _KEY.fullmatch(key):
            raise InvalidInputError({"Idempotency-Key": ["Must be 1 to 255 printable characters"]})
        content = b"%b %b?%b\n%b" % (
            request.method.encode(),
            request.scope["path"].encode(),
            request.scope["query_string"],
            await request.body(),
        )
        scope = actor_of(request)
        if scope == "anonymous":
            # Strangers at one address share a scope, and what one is answered may be tokens: what the request
            # proves who sent it by, be it in a header, is part of what must be the same.
            content += b"\n" + request.headers.get("authorization", "").encode()
            content += b"\n" + cookie(request, REFRESH).encode()
            # From elsewhere nobody can take a key that somebody here will want to use.
            where = self._keys.request_hash(b"address\n" + neighbourhood(address_of(request)).encode())
            scope = f"anonymous:{where[:8].hex()}"
        hashed = self._keys.request_hash(content)
        return Once(scope=scope, key=key, request_hash=hashed, answer=recorded)

    def _seen(self, request: HttpRequest, position: int) -> int:
        """An answer that was given before, or that others have overtaken, makes nobody forget what came after it."""
        newest = max(position, self._acknowledged.of(actor_of(request)))
        return newest if position and newest > remembered(request) else 0

    def _note(self, request: HttpRequest, position: int) -> None:
        if position:
            request.scope["state"]["position"] = position
            actor = actor_of(request)
            if actor != "anonymous":
                self._acknowledged.note(actor, position)


def remembered(connection: Connection) -> int:
    """The position in the cookie, which is whatever a browser kept of us; one that makes no sense asks for nothing."""
    kept = connection.cookies.get("logPosition", "") if "cookie" in connection.headers else ""
    return int(kept) if kept.isascii() and kept.isdigit() and len(kept) < 18 else 0


def _expected_version(request: HttpRequest) -> int | None:
    given = request.headers.get("if-match")
    if given is None or given.strip() == "*":
        return None
    version = _VERSION.fullmatch(given.strip())
    if version is None:
        raise InvalidInputError({"If-Match": ["Must be an ETag that tells a version, as we gave it"]})
    return int(version[1])
