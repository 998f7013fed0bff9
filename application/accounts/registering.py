"""Signing up."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

import msgspec

from application.ports import (
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    Numbers,
    Passwords,
    Proposal,
    StreamRef,
)
from domain.accounts.account import ACCOUNTS, Account, EmailExistsError, UsernameExistsError
from domain.accounts.events import AccountRegistered, Role, RoleGranted, SessionStarted
from domain.accounts.session import SESSIONS, Session
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import AccountId, Event, stream_id

EMAIL = "email"
USERNAME = "username"


class RegisterAccount(msgspec.Struct, frozen=True, kw_only=True):
    """``username`` is made from the e-mail address where there is none (C11). The password is checked by the caller."""

    email: str
    password: str
    username: str = ""
    first_name: str = ""
    last_name: str = ""
    gender: str = ""
    image: str = ""
    phone: str = ""
    age: int | None = None
    roles: frozenset[Role] = frozenset()
    device: str = ""
    address: str = ""


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    account: Account
    session: Session


async def register_account(
    command: RegisterAccount,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    passwords: Passwords,
    clock: Clock,
    session_lifetime: timedelta,
) -> Changed[SignedIn]:
    password_hash = await passwords.hash(command.password)
    email_claim = keys.claim_id(EMAIL, command.email)
    (email_owner,) = await store.load_many([StreamRef(CLAIMS, email_claim)])
    number = 0 if _taken(email_owner) else await numbers.next("accounts")
    account_id = AccountId(stream_id("account", number))
    username = command.username or await _free_username(command.email, store, keys)
    registered = AccountRegistered(
        account_id=account_id,
        number=number,
        email=command.email,
        username=username,
        password_hash=password_hash,
        first_name=command.first_name,
        last_name=command.last_name,
        gender=command.gender,
        image=command.image,
        phone=command.phone,
        age=command.age,
    )
    session = session_started(account_id, clock, session_lifetime, command.device, command.address)
    refs = [StreamRef(CLAIMS, email_claim), StreamRef(CLAIMS, keys.claim_id(USERNAME, username))]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[SignedIn]:
        email_taken = Claim.take(loaded[0].state, EMAIL, account_id)
        username_taken = Claim.take(loaded[1].state, USERNAME, account_id)
        if email_taken is None:
            raise EmailExistsError("Email already registered", details={"email": ["Is already registered"]})
        if username_taken is None:
            raise UsernameExistsError("Username already taken", details={"username": ["Is already taken"]})
        granted = [RoleGranted(account_id=account_id, role=role) for role in sorted(command.roles)]
        events: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            (refs[0], email_taken),
            (refs[1], username_taken),
            (StreamRef(ACCOUNTS, account_id), [registered, *granted]),
            (StreamRef(SESSIONS, session.session_id), [session]),
        ]
        account = ACCOUNTS.fold(None, [registered, *granted])
        assert account is not None
        return Proposal(
            outcome=SignedIn(account=account, session=Session.evolve(None, session)), events=events
        )

    return await store.change_together(refs, decide, metadata)


def session_started(
    account_id: AccountId, clock: Clock, lifetime: timedelta, device: str, address: str
) -> SessionStarted:
    now = clock.now()
    return SessionStarted(
        session_id=uuid4(),
        account_id=account_id,
        started_at=now,
        expires_at=now + lifetime,
        device=device,
        address=address,
    )


def _taken(claim: Loaded[Claim]) -> bool:
    return claim.state is not None and claim.state.owner is not None


async def _free_username(email: str, store: EventStore, keys: Keys) -> str:
    """The address's local part, with a number behind it where somebody has that already."""
    base = re.sub(r"[^a-z0-9._-]", "", email.partition("@")[0].lower()) or "user"
    candidates = [base, *(f"{base}{n}" for n in range(2, 10)), f"{base}-{uuid4().hex[:8]}"]
    claims = await store.load_many([StreamRef(CLAIMS, keys.claim_id(USERNAME, name)) for name in candidates])
    return next(name for name, held in zip(candidates, claims, strict=True) if not _taken(held))
