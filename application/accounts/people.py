"""Finding people by any of their names, and starting their sessions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import msgspec

from application.claims import owner_of, stream_called
from application.ports import EventStore, Keys
from domain.accounts.account import Account, UserNotFoundError
from domain.accounts.events import SessionStarted
from domain.accounts.session import Session
from domain.kernel import AccountId
from domain.sellers.seller import Seller

EMAIL: Final = "email"
USERNAME: Final = "username"

RESERVED_USERNAMES: Final = frozenset({"me", "profile", "addresses", "following"})
"""What stands beside a user in a path (C58)."""

_UUID_LENGTH: Final = 36


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """From where somebody comes: what their device says of itself, and its network address."""

    device: str = ""
    address: str = ""


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """``seller`` is the shop that the account is, where it was looked at."""

    account: Account
    session: Session
    seller: Seller | None = None


async def owner_of_login(login: str, store: EventStore, keys: Keys) -> tuple[UUID, AccountId | None]:
    """Whose e-mail address or username that is; where nobody's, an id that stands for the name (C12)."""
    kind = EMAIL if "@" in login else USERNAME
    owner = await owner_of(kind, login, store, keys)
    return (keys.claim_id(kind, login), None) if owner is None else (owner, AccountId(owner))


async def account_called(reference: str, store: EventStore, keys: Keys) -> AccountId:
    """The account of an integer id, a uuid or a username; whether it exists is for the log to say."""
    stream = await stream_called(reference, "account", USERNAME, store, keys)
    if stream is None:
        raise UserNotFoundError("User not found")
    return AccountId(stream)


def identity_kind(provider: str) -> str:
    """Of the claim on what a provider calls somebody."""
    return f"identity-{provider}"


def is_ambiguous(username: str) -> bool:
    """Paths name people by integer, by uuid and by username: none may pass for another."""
    return username.isdigit() or len(username) == _UUID_LENGTH or username.lower() in RESERVED_USERNAMES


def found(account: Account | None) -> Account:
    """The account, if there is one and its person is not forgotten."""
    if account is None or account.erased:
        raise UserNotFoundError("User not found")
    return account


def session_started(
    account: Account,
    now: datetime,
    lifetime: timedelta,
    origin: Origin,
    method: str,
    *,
    impersonator: AccountId | None = None,
) -> SessionStarted:
    return SessionStarted(
        session_id=uuid4(),
        account_id=account.id,
        started_at=now,
        expires_at=now + lifetime,
        device=origin.device,
        address=origin.address,
        epoch=account.epoch,
        method=method,
        impersonator=impersonator,
    )
