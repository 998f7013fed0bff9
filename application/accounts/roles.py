"""Giving and taking roles."""

from __future__ import annotations

import msgspec

from application.ports import Changed, EventStore, Metadata
from domain.accounts.account import ACCOUNTS, Account, UserNotFoundError
from domain.accounts.events import AccountEvent, Role
from domain.kernel import AccountId


class GrantRole(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    role: Role


async def grant_role(command: GrantRole, metadata: Metadata, *, store: EventStore) -> Changed[Account]:
    def decide(account: Account | None) -> list[AccountEvent]:
        if account is None:
            raise UserNotFoundError("User not found")
        return account.grant(command.role)

    return await store.change(ACCOUNTS, command.account_id, decide, metadata)
