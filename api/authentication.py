"""Who is asking: Bearer tokens and cookies, the sessions behind them, and what a role may do (C16, C17)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler

from api.cookies import ACCESS, SAFE_METHODS, cookie
from api.limits import charge_account
from application.errors import AuthenticationError, ReauthenticationError, TokenExpiredError
from application.ports import Clock, EventStore, StreamRef
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import Caller, Role
from domain.accounts.session import SESSIONS, Session
from domain.kernel import AccountId, ForbiddenError

Connection = ASGIConnection[Any, Any, Any, Any]

BEARER: Final[list[dict[str, list[str]]]] = [{"bearer": []}, {"cookie": []}]
"""What OpenAPI calls for where a guard below stands."""

MOST_REMEMBERED: Final = 20_000
LOOK_AGAIN: Final = 5.0
"""Seconds after which a session is looked at again, should the message that it was revoked have been lost."""

RECENTLY: Final = timedelta(minutes=15)
"""How long after signing in somebody may still do what takes a fresh look at who they are."""


class AccessToken(Protocol):
    """What an access token says: who is asking, in which session, and until when."""

    @property
    def caller(self) -> Caller: ...

    @property
    def session_id(self) -> UUID: ...

    @property
    def expires_at(self) -> datetime: ...


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking, as the log has them now: a role that was taken is gone, whatever the token says."""

    caller: Caller
    session_id: UUID
    expires_at: datetime
    started_at: datetime
    impersonator: AccountId | None = None


class Tokens(Protocol):
    def read_access(self, token: str) -> AccessToken: ...


class _Live(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was seen to live, with the roles that its account had then."""

    account_id: AccountId
    roles: frozenset[Role]
    started_at: datetime
    until: float
    impersonator: AccountId | None = None


class _Look:
    """A look at the log that is going on; what is forgotten meanwhile is not to be remembered from it."""

    __slots__ = ("account_id", "impersonator", "outdated", "session_id")

    def __init__(self, session_id: UUID, account_id: UUID) -> None:
        self.session_id = session_id
        self.account_id = account_id
        self.impersonator: UUID | None = None
        self.outdated = False


class Authenticator:
    """Remembers tokens that were verified and sessions that were seen to live, so that neither costs a round trip.

    It may remember sessions only while it hears of their end (``listen``). Until then, and whenever that message
    cannot reach us, each request looks at the log: a revocation holds at once, on every process, whatever is down.
    """

    def __init__(self, tokens: Tokens, store: EventStore, clock: Clock) -> None:
        self._tokens = tokens
        self._store = store
        self._clock = clock
        self._verified: OrderedDict[str, AccessToken] = OrderedDict()
        self._live: OrderedDict[UUID, _Live] = OrderedDict()
        self._sessions: dict[UUID, set[UUID]] = {}
        self._looks: set[_Look] = set()
        self._listening = False
        self._tell: Callable[[str, UUID], None] = lambda what, which: None

    def announce_by(self, tell: Callable[[str, UUID], None]) -> None:
        """Other processes hear from us at once what they would hear of through the relay a moment later, if it runs."""
        self._tell = tell

    def hear(self, what: str, which: UUID) -> None:
        """What another process has told."""
        if what == "session":
            self.forget(which)
        else:
            self.forget_account(which)

    def ended(self, session_id: UUID) -> None:
        """This process has ended a session."""
        self.forget(session_id)
        self._tell("session", session_id)

    def changed(self, account_id: UUID) -> None:
        """This process has changed what an account may do, or ended its sessions."""
        self.forget_account(account_id)
        self._tell("account", account_id)

    def listen(self, listening: bool) -> None:
        """Whether we hear of sessions and accounts from now on; what was not heard before is not believed."""
        self._listening = listening
        self._live.clear()
        self._sessions.clear()
        for look in self._looks:
            look.outdated = True

    async def read(self, token: str) -> Access:
        """``AuthenticationError`` unless the token is ours and good, and its session has not ended."""
        said = self.verified(token)
        live = self._live.get(said.session_id)
        if live is None or live.until < monotonic():
            live = await self._look(said)
        elif live.account_id != said.caller.account_id:
            raise AuthenticationError("Invalid or expired token")
        if said.session_id in self._live:
            self._keep(token, said)
        caller = said.caller
        if caller.roles != live.roles:
            caller = msgspec.structs.replace(caller, roles=live.roles)
        return Access(
            caller=caller,
            session_id=said.session_id,
            expires_at=said.expires_at,
            started_at=live.started_at,
            impersonator=live.impersonator,
        )

    def verified(self, token: str) -> AccessToken:
        """What a token of ours says that has not expired, though its session may have ended."""
        access = self._verified.get(token) or self._tokens.read_access(token)
        if access.expires_at <= self._clock.now():
            self._verified.pop(token, None)
            raise TokenExpiredError("Invalid or expired token")
        return access

    def forget(self, session_id: UUID) -> None:
        """The session may have ended: look before it is believed in again."""
        self._drop(session_id)
        for look in self._looks:
            if look.session_id == session_id:
                look.outdated = True

    def forget_account(self, account_id: UUID) -> None:
        """The account may have changed, or all its sessions ended: look before any of them is believed in again."""
        for session_id in [*self._sessions.get(account_id, ())]:
            self._drop(session_id)
        for look in self._looks:
            if account_id in (look.account_id, look.impersonator):
                look.outdated = True

    def forget_person(self, account_id: UUID) -> None:
        """They are erased: in their tokens stands who they were."""
        self.forget_account(account_id)
        for token in [each for each, said in self._verified.items() if said.caller.account_id == account_id]:
            del self._verified[token]

    def _keep(self, token: str, said: AccessToken) -> None:
        """Only of sessions that are remembered too, so that whoever is forgotten does not come back with a request."""
        if token not in self._verified:
            self._verified[token] = said
            if len(self._verified) > MOST_REMEMBERED:
                self._verified.popitem(last=False)

    async def _look(self, said: AccessToken) -> _Live:
        account_id = said.caller.account_id
        look = _Look(said.session_id, account_id)
        self._looks.add(look)
        try:
            loaded = await self._store.load_many(
                [StreamRef(SESSIONS, said.session_id), StreamRef(ACCOUNTS, account_id)]
            )
            session: Session | None = loaded[0].state
            account: Account | None = loaded[1].state
            if session is not None and session.impersonator is not None:
                look.impersonator = session.impersonator
                await self._require_admin(session.impersonator)
        finally:
            self._looks.discard(look)
        if (
            session is None
            or account is None
            or session.account_id != account_id
            or not session.is_live(self._clock.now())
            or not account.admits(session)
            or not account.may_sign_in
        ):
            self._drop(said.session_id)
            raise AuthenticationError("Invalid or expired token")
        live = _Live(
            account_id=account_id,
            roles=frozenset(account.roles),
            started_at=session.started_at,
            until=monotonic() + LOOK_AGAIN,
            impersonator=session.impersonator,
        )
        # What changed while we looked may be missing in what we saw: good for now, and looked at again next time.
        if self._listening and not look.outdated:
            self._remember(said.session_id, live)
        return live

    async def _require_admin(self, account_id: AccountId) -> None:
        """Who acts as somebody else must be an admin still."""
        admin = (await self._store.load(ACCOUNTS, account_id)).state
        if admin is None or Role.ADMIN not in admin.roles or not admin.may_sign_in:
            raise AuthenticationError("Invalid or expired token")

    def _remember(self, session_id: UUID, live: _Live) -> None:
        self._live[session_id] = live
        for account_id in _accounts_of(live):
            self._sessions.setdefault(account_id, set()).add(session_id)
        if len(self._live) > MOST_REMEMBERED:
            self._drop(next(iter(self._live)))

    def _drop(self, session_id: UUID) -> None:
        live = self._live.pop(session_id, None)
        for account_id in _accounts_of(live):
            sessions = self._sessions.get(account_id, set())
            sessions.discard(session_id)
            if not sessions:
                self._sessions.pop(account_id, None)


def _accounts_of(live: _Live | None) -> list[AccountId]:
    """On whom it depends whether the session lives."""
    if live is None:
        return []
    return [live.account_id] if live.impersonator is None else [live.account_id, live.impersonator]


def bearer_token(connection: Connection) -> str | None:
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def authenticate(connection: Connection) -> Access | None:
    """Who sent this request, if it says so; kept beside the request for whoever wants to know later.

    ``CsrfError`` where a browser's cookies say so and nothing shows that a page of ours sent them.
    """
    state = connection.scope["state"]
    if "access" not in state:
        token = bearer_token(connection)
        by_cookie = "" if token else cookie(connection, ACCESS)
        access = await _read(connection, token, by_cookie)
        _remember(connection, access)
        if access is not None:
            charge_account(connection, access.caller.account_id)
    found: Access | None = state["access"]
    return found


async def _read(connection: Connection, bearer: str | None, by_cookie: str) -> Access | None:
    authenticator: Authenticator = connection.app.state.authenticator
    if bearer:
        return await authenticator.read(bearer)
    if not by_cookie:
        return None
    access = await authenticator.read(by_cookie)
    _require_csrf(connection, access.session_id)
    return access


def _require_csrf(connection: Connection, session_id: UUID) -> None:
    scope: Any = connection.scope
    if scope.get("method", "GET") not in SAFE_METHODS:
        connection.app.state.cookies.require_csrf(connection, session_id)


def _remember(connection: Connection, access: Access | AccessToken | None) -> None:
    state = connection.scope["state"]
    state["access"] = access
    if access is not None:
        state["actor"] = f"user:{access.caller.account_id}"


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection)


def require_recent_sign_in(connection: Connection) -> None:
    """Behind a guard, for what nobody may do who merely found a device unlocked."""
    access: Access = connection.scope["state"]["access"]
    if connection.app.state.clock.now() - access.started_at >= RECENTLY:
        raise ReauthenticationError("Sign in again to do this")


async def was_signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """For signing out, which may be asked for twice: the token is good, and its session may have ended already."""
    token, by_cookie = bearer_token(connection), cookie(connection, ACCESS)
    if not token and not by_cookie:
        raise AuthenticationError("Authentication required")
    access = connection.app.state.authenticator.verified(token or by_cookie)
    if not token:
        _require_csrf(connection, access.session_id)
    _remember(connection, access)


async def seller(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection, Role.SELLER)


async def auditor(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection, Role.AUDITOR)


async def admin(connection: Connection, _: BaseRouteHandler) -> None:
    await _require(connection, Role.ADMIN)


async def _require(connection: Connection, role: Role | None = None) -> Access:
    access = await authenticate(connection)
    if access is None:
        raise AuthenticationError("Authentication required")
    if role is not None and role not in access.caller.roles and not access.caller.is_admin:
        raise ForbiddenError(f"This needs the role {role.value}")
    return access


def caller_of(connection: Connection) -> Caller:
    """Who asks, behind one of the guards above."""
    access: Access = connection.scope["state"]["access"]
    return access.caller


def impersonator_of(connection: Connection) -> str | None:
    """The admin who acts as whoever seems to ask."""
    access = connection.scope["state"].get("access")
    impersonator = getattr(access, "impersonator", None)
    return None if impersonator is None else f"user:{impersonator}"


async def in_person(connection: Connection, _: BaseRouteHandler) -> None:
    """For what is nobody's to do in somebody else's name (A25): how one proves who one is, and leaving for good."""
    await _require(connection)
    require_in_person(connection)


def require_in_person(connection: Connection) -> None:
    """The same behind another guard, for what only some requests ask for."""
    if impersonator_of(connection) is not None:
        raise ForbiddenError("This is only theirs to do")


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
