"""Signing in, staying signed in, and signing out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from application.accounts.people import Origin, SignedIn, found, owner_of_login, session_started
from application.errors import AuthenticationError
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    Passwords,
    Proposal,
    StreamRef,
)
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import SessionEvent
from domain.accounts.session import SESSIONS, Session, SessionNotFoundError
from domain.accounts.sign_in import SIGN_INS, SignIn, sign_in_of
from domain.kernel import AccountId, DomainError
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS


class InvalidCredentialsError(DomainError):
    """C5: 400, because a 401 would make token clients try to refresh."""

    code = "INVALID_CREDENTIALS"


class _TokenReusedError(AuthenticationError):
    """The token was exchanged before: the session is to end."""


class LogIn(msgspec.Struct, frozen=True, kw_only=True):
    """``login`` is an e-mail address or a username (C12)."""

    login: str
    password: str
    origin: Origin = Origin()


class RefreshSession(msgspec.Struct, frozen=True, kw_only=True):
    """Exchange token number ``generation`` of a session for the next one."""

    session_id: UUID
    generation: int


class LogOut(msgspec.Struct, frozen=True, kw_only=True):
    session_id: UUID


class RevokeSession(msgspec.Struct, frozen=True, kw_only=True):
    """One of the account's own; those of others are not there for them."""

    account_id: AccountId
    session_id: UUID


class RevokeOtherSessions(msgspec.Struct, frozen=True, kw_only=True):
    """All of them, where no session is spared."""

    account_id: AccountId
    spared: UUID | None


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who knew the password that is stored as ``password_hash``."""

    account_id: AccountId
    password_hash: str


async def log_in(
    command: LogIn,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    passwords: Passwords,
    clock: Clock,
    session_lifetime: timedelta,
) -> Changed[SignedIn]:
    verified = await verify_password(
        command.login, command.password, metadata, store=store, keys=keys, passwords=passwords, clock=clock
    )
    account_id, known_hash = verified.account_id, verified.password_hash
    rehashed = await passwords.hash(command.password) if passwords.needs_rehash(known_hash) else ""
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(SIGN_INS, sign_in_of(account_id)),
        StreamRef(ACCOUNTS, account_id),
        StreamRef(SELLERS, seller_of(account_id)),
    ]
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        account: Account = loaded[1].present
        if account.password_hash != known_hash:
            raise InvalidCredentialsError("Email or password incorrect")
        succeeded = SignIn.of(loaded[0].state, account_id, account_id).succeed(now)
        account.require_may_sign_in()
        events = account.rehash_password(rehashed) if rehashed else []
        started = session_started(account, now, session_lifetime, command.origin, "password")
        return Proposal(
            outcome=SignedIn(account=account, session=Session.evolve(None, started), seller=loaded[2].state),
            events=[
                (refs[0], succeeded),
                (refs[1], events),
                (StreamRef(SESSIONS, started.session_id), [started]),
            ],
        )

    return await store.change_together(refs, decide, metadata)


async def verify_password(
    login: str,
    password: str,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    passwords: Passwords,
    clock: Clock,
) -> Verified:
    """``InvalidCredentialsError``, and after too many of those ``AccountLockedError``.

    Whether somebody is known by that name or not, the same is asked, computed and recorded.
    """
    subject, account_id = await owner_of_login(login, store, keys)
    tries, owner, _ = await store.load_many(
        [
            StreamRef(SIGN_INS, sign_in_of(subject)),
            StreamRef(ACCOUNTS, subject),
            StreamRef(SELLERS, seller_of(AccountId(subject))),  # needed next, and so at hand by then
        ]
    )
    SignIn.of(tries.state, subject, account_id).require_unlocked(clock.now())
    known_hash = owner.state.password_hash if owner.state else ""
    matches = await passwords.matches(password, known_hash or None)
    if account_id is None or not matches:
        await store.change(
            SIGN_INS,
            sign_in_of(subject),
            lambda known: SignIn.of(known, subject, account_id).fail(clock.now()),
            msgspec.structs.replace(metadata, once=None, expected_version=None),
        )
        raise InvalidCredentialsError("Email or password incorrect")
    return Verified(account_id=account_id, password_hash=known_hash)


async def require_unlocked(account_id: AccountId, *, store: EventStore, clock: Clock) -> None:
    """Also for a password that was right: it may have been one of many that were tried at once."""
    tries = await store.load(SIGN_INS, sign_in_of(account_id))
    SignIn.of(tries.state, account_id, account_id).require_unlocked(clock.now())


async def refresh_session(
    command: RefreshSession,
    metadata: Metadata,
    *,
    store: EventStore,
    clock: Clock,
    session_lifetime: timedelta,
) -> Changed[SignedIn]:
    now = clock.now()
    seen = await store.load(SESSIONS, command.session_id)
    if seen.state is None:
        raise AuthenticationError("Invalid or expired token")
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(SESSIONS, command.session_id),
        StreamRef(ACCOUNTS, seen.state.account_id),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        session: Session = loaded[0].present
        account: Account | None = loaded[1].state
        if account is None or session.impersonator is not None or not is_live(session, account, now):
            raise AuthenticationError("Invalid or expired token")
        events = session.exchange(command.generation, now, session_lifetime)
        after = SESSIONS.after(session, events)
        if after.revoked:
            raise _TokenReusedError("Invalid or expired token")
        return Proposal(outcome=SignedIn(account=account, session=after), events=[(refs[0], events)])

    def end(session: Session | None) -> list[SessionEvent]:
        assert session is not None, "its token was used before"
        return [] if session.revoked else session.exchange(command.generation, now, session_lifetime)

    try:
        return await store.change_together(refs, decide, metadata)
    except _TokenReusedError:
        # A refusal, though something is recorded: no answer that the same request may be given again.
        refused = msgspec.structs.replace(metadata, once=None, expected_version=None)
        await store.change(SESSIONS, command.session_id, end, refused)
        raise


def is_live(session: Session, account: Account, now: datetime) -> bool:
    """Whether the session is good for anything still."""
    return session.is_live(now) and account.admits(session) and account.may_sign_in


def require_live(session: Session | None, account: Account, now: datetime) -> None:
    """For what a session outlives that all others end by: one that has ended itself must not come back by it."""
    if session is None or session.account_id != account.id or not is_live(session, account, now):
        raise AuthenticationError("Invalid or expired token")


async def log_out(command: LogOut, metadata: Metadata, *, store: EventStore) -> Changed[Session]:
    def decide(session: Session | None) -> list[SessionEvent]:
        if session is None:
            raise AuthenticationError("Invalid or expired token")
        return session.revoke("signed out")

    return await store.change(SESSIONS, command.session_id, decide, metadata)


async def revoke_session(
    command: RevokeSession, metadata: Metadata, *, store: EventStore
) -> Changed[Session]:
    def decide(session: Session | None) -> list[SessionEvent]:
        if session is None or session.account_id != command.account_id:
            raise SessionNotFoundError("Session not found")
        return session.revoke("revoked by its owner")

    return await store.change(SESSIONS, command.session_id, decide, metadata)


async def revoke_other_sessions(
    command: RevokeOtherSessions, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Account]:
    account_ref = StreamRef(ACCOUNTS, command.account_id)
    spared = [] if command.spared is None else [StreamRef(SESSIONS, command.spared)]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Account]:
        account = found(loaded[0].state)
        if command.spared is not None:
            require_live(loaded[1].state, account, clock.now())
        events = account.revoke_sessions("revoked by their owner", spared=command.spared)
        return Proposal(outcome=ACCOUNTS.after(account, events), events=[(account_ref, events)])

    return await store.change_together([account_ref, *spared], decide, metadata)
