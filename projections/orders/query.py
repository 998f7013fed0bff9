"""Questions to the list of orders."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from projections.keyset import Found, Piece, Question, Sorting
from projections.ports import Reads


class FoundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as ready bytes, and whose it is."""

    body: bytes
    account_id: UUID


async def order_by_id(reads: Reads, order_id: UUID) -> FoundOrder | None:
    row = await reads.one("SELECT body, account_id FROM orders WHERE key = %s", order_id)
    return None if row is None else FoundOrder(body=row[0], account_id=row[1])


async def orders_of(reads: Reads, account_id: UUID, piece: Piece) -> Found:
    """An account's orders as ready bytes, newest first."""
    question = Question(columns="body", source="orders", where="account_id = %s", parameters=[account_id])
    return await question.ask(reads, _NEWEST, piece)


_NEWEST: Final = Sorting(by=("created_at", "number"), descending=True, types=("timestamptz", "text"))
