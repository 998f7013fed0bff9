"""Questions to the list of accounts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from projections.accounts.account import AccountDocument
from projections.keyset import Piece, Question, Sorting, Values
from projections.ports import Reads

_decode: Final = msgspec.json.Decoder(AccountDocument).decode


class AccountFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``words`` is part of an e-mail address or a name; ``deleted`` are those who are suspended or about to go."""

    words: str = ""
    role: str = ""
    deleted: bool | None = None


class AccountPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    documents: Sequence[AccountDocument]
    last: Values | None = None


async def account_by_id(reads: Reads, account_id: UUID) -> AccountDocument | None:
    row = await reads.one("SELECT document FROM accounts WHERE key = %s", account_id)
    return None if row is None else _decode(row[0])


async def accounts_page(reads: Reads, asked: AccountFilter, piece: Piece) -> AccountPage:
    """By number; the erased are nobody any more."""
    conditions, parameters = ["status <> 'erased'"], list[Any]()
    if asked.words:
        conditions.append("strpos(words, %s) > 0")
        parameters.append(asked.words.lower())
    if asked.role:
        conditions.append("role = %s")
        parameters.append(asked.role)
    if asked.deleted is not None:
        conditions.append("status <> 'active'" if asked.deleted else "status = 'active'")
    question = Question(
        columns="document", source="accounts", where=" AND ".join(conditions), parameters=parameters
    )
    found = await question.ask(reads, Sorting(by=("number",)), piece)
    documents = [_decode(document) for (document,) in found.rows]
    return AccountPage(total=found.total, documents=documents, last=found.last)


async def accounts_due(reads: Reads, now: datetime, limit: int) -> list[UUID]:
    """Those whose deletion can no longer be taken back."""
    statement = "SELECT key FROM accounts WHERE erase_after <= %s ORDER BY erase_after LIMIT %s"
    return [key for (key,) in await reads.all(statement, now, limit)]
