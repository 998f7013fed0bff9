"""Questions to the list of orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
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


class Waiting(msgspec.Struct, frozen=True):
    """An order that waits for its payment, and since when."""

    since: datetime
    order_id: UUID


async def orders_waiting_since(
    reads: Reads, moment: datetime, after: Waiting | None, most: int
) -> Sequence[Waiting]:
    """Orders that were placed by then and are not paid, as far as is known here; the oldest first, behind ``after``."""
    behind = ""
    parameters: list[Any] = [moment]
    if after is not None:
        behind = " AND (created_at, key) > (%s, %s)"
        parameters += [after.since, after.order_id]
    statement = (
        "SELECT created_at, key FROM orders WHERE status = 'pending' AND created_at <= %s"
        f"{behind} ORDER BY created_at, key LIMIT %s"
    )
    return [Waiting(*row) for row in await reads.all(statement, *parameters, most)]


async def orders_of(reads: Reads, account_id: UUID, piece: Piece) -> Found:
    """An account's orders as ready bytes, newest first."""
    question = Question(columns="body", source="orders", where="account_id = %s", parameters=[account_id])
    return await question.ask(reads, _NEWEST, piece)


_NEWEST: Final = Sorting(by=("created_at", "number"), descending=True, types=("timestamptz", "text"))
