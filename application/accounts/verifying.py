"""Proving an e-mail address."""

from __future__ import annotations

import msgspec

from application.accounts.people import found
from application.ports import Changed, Clock, EventStore, Metadata
from domain.accounts.account import ACCOUNTS, Account, InvalidTokenError
from domain.accounts.events import AccountEvent
from domain.kernel import AccountId


class RequestEmailVerification(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId


class VerifyEmail(msgspec.Struct, frozen=True, kw_only=True):
    """With link number ``number`` of a mail."""

    account_id: AccountId
    number: int


async def request_email_verification(
    command: RequestEmailVerification, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Account]:
    return await store.change(
        ACCOUNTS,
        command.account_id,
        lambda account: found(account).request_verification(clock.now()),
        metadata,
    )


async def verify_email(
    command: VerifyEmail, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Account]:
    def decide(account: Account | None) -> list[AccountEvent]:
        if account is None:
            raise InvalidTokenError("Invalid or expired token")
        return account.verify_email(command.number, clock.now())

    return await store.change(ACCOUNTS, command.account_id, decide, metadata)
