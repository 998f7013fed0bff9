"""Signing in, staying signed in, and signing out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from application.accounts.registering import EMAIL, USERNAME, SignedIn, session_started
from application.claims import owner_of
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
from domain.accounts.session import SESSIONS, Session
from domain.kernel import DomainError


class InvalidCredentialsError(DomainError):
    """C5: 400, because a 401 would make token clients try to refresh."""

    code = "INVALID_CREDENTIALS"


class LogIn(msgspec.Struct, frozen=True, kw_only=True):
    """``login`` is an e-mail address or a username (C12)."""

    login: str
    password: str
    device: str = ""
    address: str = ""


class RefreshSession(msgspec.Struct, frozen=True, kw_only=True):
    """Exchange token number ``generation`` of a session for the next one."""

    session_id: UUID
    generation: int


class LogOut(msgspec.Struct, frozen=True, kw_only=True):
    session_id: UUID


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
    account = await _account_called(command.login, store, keys)
    if (
        not await passwords.matches(command.password, account.password_hash if account else None)
        or account is None
    ):
        raise InvalidCredentialsError("Email or password incorrect")
    session = session_started(account.id, clock, session_lifetime, command.device, command.address)
    outcome = SignedIn(account=account, session=Session.evolve(None, session))

    def decide(_: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        return Proposal(outcome=outcome, events=[(StreamRef(SESSIONS, session.session_id), [session])])

    return await store.change_together([], decide, metadata)


async def refresh_session(
    command: RefreshSession,
    metadata: Metadata,
    *,
    store: EventStore,
    clock: Clock,
    session_lifetime: timedelta,
) -> Changed[SignedIn]:
    now = clock.now()
    loaded = await store.load(SESSIONS, command.session_id)
    if loaded.state is None or not loaded.state.is_live(now):
        raise AuthenticationError("Invalid or expired token")
    account = (await store.load(ACCOUNTS, loaded.state.account_id)).state
    if account is None:
        raise AuthenticationError("Invalid or expired token")
    ref = StreamRef(SESSIONS, command.session_id)

    def decide(sessions: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        session: Session = sessions[0].present
        events = session.exchange(command.generation, now, session_lifetime)
        after = SESSIONS.fold(session, events)
        assert after is not None
        return Proposal(outcome=SignedIn(account=account, session=after), events=[(ref, events)])

    changed = await store.change_together([ref], decide, metadata)
    if changed.state.session.revoked:
        raise AuthenticationError("Invalid or expired token")
    return changed


async def log_out(command: LogOut, metadata: Metadata, *, store: EventStore) -> Changed[Session]:
    return await store.change(SESSIONS, command.session_id, _revoked, metadata)


def _revoked(session: Session | None) -> list[Any]:
    if session is None:
        raise AuthenticationError("Invalid or expired token")
    return session.revoke("signed out")


async def _account_called(login: str, store: EventStore, keys: Keys) -> Account | None:
    kind = EMAIL if "@" in login else USERNAME
    owner = await owner_of(kind, login, store, keys)
    return None if owner is None else (await store.load(ACCOUNTS, owner)).state
