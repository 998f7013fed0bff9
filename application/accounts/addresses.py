"""The address book."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from application.accounts.people import found
from application.ports import Changed, Clock, EventStore, Metadata, Numbers
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import PostalDetails
from domain.kernel import AccountId


class AddAddress(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    details: PostalDetails
    default: bool = False


class UpdateAddress(msgspec.Struct, frozen=True, kw_only=True):
    """``changes`` has the new values of some fields of ``PostalDetails``."""

    account_id: AccountId
    number: int
    changes: Mapping[str, Any]
    default: bool | None = None


class RemoveAddress(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    number: int


async def add_address(
    command: AddAddress, metadata: Metadata, *, store: EventStore, numbers: Numbers, clock: Clock
) -> Changed[Account]:
    """The new one is the last of the account's addresses."""
    number = await numbers.next("addresses")
    return await store.change(
        ACCOUNTS,
        command.account_id,
        lambda account: found(account).add_address(
            number, command.details, clock.now(), default=command.default
        ),
        metadata,
    )


async def update_address(
    command: UpdateAddress, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Account]:
    return await store.change(
        ACCOUNTS,
        command.account_id,
        lambda account: found(account).update_address(
            command.number, command.changes, clock.now(), default=command.default
        ),
        metadata,
    )


async def remove_address(
    command: RemoveAddress, metadata: Metadata, *, store: EventStore
) -> Changed[Account]:
    return await store.change(
        ACCOUNTS, command.account_id, lambda account: found(account).remove_address(command.number), metadata
    )
