"""Who is asking: Bearer tokens, the sessions behind them, and what a role may do (C16, C17)."""

from __future__ import annotations

from collections import OrderedDict
from datetime import datetime
from time import monotonic
from typing import Any, Final, Protocol
from uuid import UUID

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from application.errors import AuthenticationError, TokenExpiredError
from application.ports import Clock, EventStore
from domain.accounts.events import Caller, Role
from domain.accounts.session import SESSIONS
from domain.kernel import ForbiddenError

Connection = ASGIConnection[Any, Any, Any, Any]

BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}]
"""What OpenAPI calls for where a guard below stands."""

MOST_REMEMBERED: Final = 20_000
LOOK_AGAIN: Final = 10.0
"""Seconds after which a session is looked at again, should the message that it was revoked have been lost."""


class AccessToken(Protocol):
    """What an access token says: who is asking, in which session, and until when."""

    @property
    def caller(self) -> Caller: ...

    @property
    def session_id(self) -> UUID: ...

    @property
    def expires_at(self) -> datetime: ...


class Tokens(Protocol):
    def read_access(self, token: str) -> AccessToken: ...


class Authenticator:
    """Remembers tokens that were verified and sessions that were seen to live, so that neither costs a round trip."""

    def __init__(self, tokens: Tokens, store: EventStore, clock: Clock) -> None:
        self._tokens = tokens
        self._store = store
        self._clock = clock
        self._verified: OrderedDict[str, AccessToken] = OrderedDict()
        self._live: OrderedDict[UUID, float] = OrderedDict()
        self._forgotten = 0

    async def read(self, token: str) -> AccessToken:
        """``AuthenticationError`` unless the token is ours and good, and its session has not ended."""
        access = self.verified(token)
        if self._live.get(access.session_id, 0.0) < monotonic():
            await self._look(access.session_id)
        return access

    def verified(self, token: str) -> AccessToken:
        """What a token of ours says that has not expired, though its session may have ended."""
        access = self._verified.get(token)
        if access is None:
            access = self._tokens.read_access(token)
            self._verified[token] = access
            if len(self._verified) > MOST_REMEMBERED:
                self._verified.popitem(last=False)
        elif access.expires_at <= self._clock.now():
            del self._verified[token]
            raise TokenExpiredError("Invalid or expired token")
        return access

    def forget(self, session_id: UUID) -> None:
        """The session may have ended: look before it is believed in again."""
        self._live.pop(session_id, None)
        self._forgotten += 1

    async def _look(self, session_id: UUID) -> None:
        forgotten = self._forgotten
        session = (await self._store.load(SESSIONS, session_id)).state
        if session is None or not session.is_live(self._clock.now()):
            self.forget(session_id)
            raise AuthenticationError("Invalid or expired token")
        if self._forgotten != forgotten:
            return  # perhaps it was this one that ended while we looked: good for now, and looked at again next time
        self._live[session_id] = monotonic() + LOOK_AGAIN
        if len(self._live) > MOST_REMEMBERED:
            self._live.popitem(last=False)


def bearer_token(connection: Connection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def authenticate(connection: Connection) -> AccessToken | None:
    """Who sent this request, if it says so; kept beside the request for whoever wants to know later."""
    state = connection.scope["state"]
    if "access" not in state:
        token = bearer_token(connection)
        access = await connection.app.state.authenticator.read(token) if token else None
        _remember(connection, access)
    found: AccessToken | None = state["access"]
    return found


def _remember(connection: Connection, access: AccessToken | None) -> None:
    state = connection.scope["state"]
    state["access"] = access
    if access is not None:
        state["actor"] = f"user:{access.caller.account_id}"


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection)


async def was_signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """For signing out, which may be asked for twice: the token is good, and its session may have ended already."""
    token = bearer_token(connection)
    if token is None:
        raise AuthenticationError("Authentication required")
    _remember(connection, connection.app.state.authenticator.verified(token))


async def seller(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection, Role.SELLER)


async def auditor(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection, Role.AUDITOR)


async def admin(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection, Role.ADMIN)


async def _require(connection: Connection, role: Role | None = None) -> None:
    access = await authenticate(connection)
    if access is None:
        raise AuthenticationError("Authentication required")
    if role is not None and role not in access.caller.roles and not access.caller.is_admin:
        raise ForbiddenError(f"This needs the role {role.value}")


def caller_of(connection: Connection) -> Caller:
    """Who asks, behind one of the guards above."""
    access: AccessToken = connection.scope["state"]["access"]
    return access.caller


def actor_of(connection: Connection) -> str:
    actor: str = connection.scope["state"].get("actor", "anonymous")
    return actor


async def reader(connection: Connection) -> Caller | None:
    """Who reads what everybody may read: somebody, if the token is good, and anybody else otherwise."""
    try:
        access = await authenticate(connection)
    except AuthenticationError:
        return None
    return access.caller if access else None
