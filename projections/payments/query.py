"""Questions to the list of payments."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from projections.keyset import Found, Piece, Question, Sorting, batch_of
from projections.orders.query import Waiting
from projections.ports import Reads

_NEWEST: Final = Sorting(by=("created_at", "intent_id"), descending=True, types=("timestamptz", "text"))


class PaymentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What is not said does not matter."""

    status: str = ""
    order_id: UUID | None = None
    account_id: UUID | None = None
    disputed: bool | None = None


class Unsettled(msgspec.Struct, frozen=True):
    """A payment that the provider may know more of than we do, and since when there is one."""

    created_at: datetime
    key: UUID
    intent_id: str


async def payment_by_id(reads: Reads, payment_id: UUID) -> bytes | None:
    row = await reads.one("SELECT body FROM payments WHERE key = %s", payment_id)
    return None if row is None else row[0]


async def payments_page(reads: Reads, wanted: PaymentFilter, piece: Piece) -> Found:
    """Payments as ready bytes, newest first."""
    conditions: list[str] = []
    parameters: list[Any] = []
    for column, value in (
        ("status", wanted.status or None),
        ("order_id", wanted.order_id),
        ("account_id", wanted.account_id),
    ):
        if value is not None:
            conditions.append(f"{column} = %s")
            parameters.append(value)
    if wanted.disputed is not None:
        conditions.append("disputed" if wanted.disputed else "NOT disputed")
    question = Question(
        columns="body",
        source="payments",
        where=" AND ".join(conditions) or "true",
        parameters=parameters,
    )
    return await question.ask(reads, _NEWEST, piece)


async def payments_unsettled(
    reads: Reads, before: datetime, after: Unsettled | None, limit: int
) -> Sequence[Unsettled]:
    """Those from before then that may have come to something, the oldest first, from the one behind ``after`` on."""
    rows = await batch_of(
        reads,
        "SELECT created_at, key, intent_id FROM payments WHERE unsettled AND created_at <= %s",
        [before],
        by=("created_at", "key"),
        after=None if after is None else (after.created_at, after.key),
        most=limit,
    )
    return [Unsettled(*row) for row in rows]


async def orders_without_payment(
    reads: Reads, before: datetime, after: Waiting | None, limit: int
) -> Sequence[Waiting]:
    """Orders from before then that are to be paid, and for which nothing is prepared; the oldest first."""
    rows = await batch_of(
        reads,
        "SELECT o.created_at, o.key FROM orders o WHERE o.status = 'pending' AND o.created_at <= %s"
        " AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.key AND p.unsettled)",
        [before],
        by=("o.created_at", "o.key"),
        after=None if after is None else (after.since, after.order_id),
        most=limit,
    )
    return [Waiting(*row) for row in rows]
