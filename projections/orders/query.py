"""Questions to the list of orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from projections.ports import Reads


class FoundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as ready bytes, and whose it is."""

    body: bytes
    account_id: UUID


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    bodies: Sequence[bytes]


async def order_by_id(reads: Reads, order_id: UUID) -> FoundOrder | None:
    row = await reads.one("SELECT body, account_id FROM orders WHERE key = %s", order_id)
    return None if row is None else FoundOrder(body=row[0], account_id=row[1])


async def orders_of(reads: Reads, account_id: UUID, skip: int, limit: int) -> OrderPage:
    """An account's orders, newest first, and how many there are in all."""
    row = await reads.one(
        "SELECT (SELECT count(*) FROM orders WHERE account_id = %s), "
        "ARRAY(SELECT body FROM orders WHERE account_id = %s ORDER BY created_at DESC, number DESC OFFSET %s LIMIT %s)",
        account_id,
        account_id,
        skip,
        limit,
    )
    assert row is not None
    return OrderPage(total=row[0], bodies=row[1])


async def orders_waiting_since(reads: Reads, moment: datetime, most: int) -> list[UUID]:
    """Orders that were placed by then and are not paid, as far as is known here; the oldest first."""
    rows = await reads.all(
        "SELECT key FROM orders WHERE status = 'pending' AND created_at <= %s ORDER BY created_at LIMIT %s",
        moment,
        most,
    )
    return [key for (key,) in rows]
