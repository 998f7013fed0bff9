"""Questions to the list of accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from projections.accounts.account import AccountDocument
from projections.pieces import has_part
from projections.ports import Reads

_decode: Final = msgspec.json.Decoder(AccountDocument).decode


class AccountFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``words`` is part of an e-mail address or a name; ``deleted`` are those who are suspended or about to go."""

    words: str = ""
    role: str = ""
    deleted: bool | None = None
    skip: int = 0
    limit: int = 20


class AccountPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    documents: Sequence[AccountDocument]


async def account_by_id(reads: Reads, account_id: UUID) -> AccountDocument | None:
    row = await reads.one("SELECT document FROM accounts WHERE key = %s", account_id)
    return None if row is None else _decode(row[0])


async def accounts_page(reads: Reads, asked: AccountFilter) -> AccountPage:
    """By number; the erased are nobody any more."""
    conditions, parameters = ["status <> 'erased'"], list[Any]()
    if asked.words:
        parts, given = has_part("words", asked.words)
        conditions += parts
        parameters += given
    if asked.role:
        conditions.append("role = %s")
        parameters.append(asked.role)
    if asked.deleted is not None:
        conditions.append("status <> 'active'" if asked.deleted else "status = 'active'")
    where = " AND ".join(conditions)
    row = await reads.one(
        f"SELECT (SELECT count(*) FROM accounts WHERE {where}), "
        f"ARRAY(SELECT document FROM accounts WHERE {where} ORDER BY number OFFSET %s LIMIT %s)",
        *parameters,
        *parameters,
        asked.skip,
        asked.limit,
    )
    assert row is not None
    return AccountPage(total=row[0], documents=[_decode(document) for document in row[1]])


async def accounts_due(reads: Reads, now: datetime, limit: int) -> list[UUID]:
    """Those whose deletion can no longer be taken back."""
    statement = "SELECT key FROM accounts WHERE erase_after <= %s ORDER BY erase_after LIMIT %s"
    return [key for (key,) in await reads.all(statement, now, limit)]
