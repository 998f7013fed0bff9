"""How the list of accounts is made."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Column, Index, LargeBinary

from domain.accounts.account import Account
from domain.accounts.events import AccountEvent
from domain.kernel import Recorded
from projections.projection import Projection, Rows, by_stream, read_model
from projections.wire import encode, time

accounts = read_model(
    "accounts",
    Column("number", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("idx_accounts_number", "number", unique=True),
)


class AccountDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of an account; how its owner proves who they are is nothing to be read here."""

    account: Account
    created_at: datetime
    updated_at: datetime


def account_body(account: Account) -> dict[str, Any]:
    """S2 §9.1 User, with uuid, username and all roles beside (C16, C18)."""
    return {
        "id": account.number,
        "uuid": str(account.id),
        "email": account.email,
        "username": account.username,
        "firstName": account.first_name,
        "lastName": account.last_name,
        "gender": account.gender,
        "image": account.image,
        "phone": account.phone,
        "age": account.age,
        "role": account.role,
        "roles": sorted(account.roles),
    }


def _fold(document: AccountDocument | None, recorded: Recorded[Any], _: UUID) -> AccountDocument:
    account = Account.evolve(document.account if document else None, recorded.event)
    return AccountDocument(
        account=msgspec.structs.replace(account, password_hash=""),
        created_at=document.created_at if document else recorded.timestamp,
        updated_at=recorded.timestamp,
    )


def _row(document: AccountDocument) -> dict[str, Any]:
    body = account_body(document.account)
    body["createdAt"] = time(document.created_at)
    body["updatedAt"] = time(document.updated_at)
    return {"number": document.account.number, "body": encode(body)}


ACCOUNT_LIST = Projection(
    name="accounts",
    version=1,
    events=get_args(AccountEvent),
    document=AccountDocument,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=accounts, row=_row),
)
