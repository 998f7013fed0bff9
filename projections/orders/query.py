"""Questions to the list of orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.orders.carriers import as_scanned
from domain.orders.events import OrderStatus, ParcelStatus, PaymentStatus
from domain.orders.order import Order
from projections.keyset import Found, Piece, Question, Sorting, Values, batch_of
from projections.orders.order import OrderDocument
from projections.orders.projector import sold_mark
from projections.ports import Reads

_decode: Final = msgspec.json.Decoder(OrderDocument).decode


class FoundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An order as its buyer sees it, in ready bytes, and as it is, in others."""

    body: bytes
    version: int
    account_id: UUID
    state: bytes

    @property
    def document(self) -> OrderDocument:
        return _decode(self.state)


class OrderFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``number`` is how it begins; ``since`` is included, ``until`` is not."""

    status: OrderStatus | None = None
    payment_status: PaymentStatus | None = None
    account_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    number: str = ""

    @property
    def conditions(self) -> tuple[list[str], list[Any]]:
        given: list[tuple[str, Any]] = [
            ("status = %s", self.status and self.status.value),
            ("payment_status = %s", self.payment_status and self.payment_status.value),
            ("account_id = %s", self.account_id),
            ("created_at >= %s", self.since),
            ("created_at < %s", self.until),
        ]
        conditions = [condition for condition, value in given if value is not None]
        parameters = [value for _, value in given if value is not None]
        if self.number:
            # As LIKE has it, and whatever plan is made for whatever number.
            conditions.append("number ~>=~ %s AND number ~<~ %s")
            parameters += [self.number, self.number[:-1] + chr(ord(self.number[-1]) + 1)]
        return conditions, parameters


class OrderPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    documents: Sequence[OrderDocument]
    last: Values | None = None


async def order_by_id(reads: Reads, order_id: UUID) -> FoundOrder | None:
    row = await reads.one("SELECT body, version, account_id, document FROM orders WHERE key = %s", order_id)
    if row is None:
        return None
    body, version, account_id, state = row
    return FoundOrder(body=body, version=version, account_id=account_id, state=state)


class Waiting(msgspec.Struct, frozen=True):
    """An order that waits for its payment, and since when."""

    since: datetime
    order_id: UUID


async def orders_waiting_since(
    reads: Reads, moment: datetime, after: Waiting | None, most: int
) -> Sequence[Waiting]:
    """Orders that were placed by then and are not paid, as far as is known here; the oldest first, behind ``after``."""
    rows = await batch_of(
        reads,
        "SELECT created_at, key FROM orders WHERE status = 'pending' AND created_at <= %s",
        [moment],
        by=("created_at", "key"),
        after=None if after is None else (after.since, after.order_id),
        most=most,
    )
    return [Waiting(*row) for row in rows]


async def orders_of(
    reads: Reads, account_id: UUID, piece: Piece, *, status: OrderStatus | None = None
) -> Found:
    """An account's orders as ready bytes, newest first; all of them, or those that are so far."""
    conditions, parameters = OrderFilter(account_id=account_id, status=status).conditions
    question = Question(
        columns="body", source="orders", where=" AND ".join(conditions), parameters=parameters
    )
    return await question.ask(reads, _NEWEST, piece)


async def orders_page(reads: Reads, asked: OrderFilter, piece: Piece) -> OrderPage:
    """Everybody's orders, newest first."""
    conditions, parameters = asked.conditions
    return await _page(reads, " AND ".join(conditions) or "true", parameters, piece)


async def orders_sold_by(
    reads: Reads, seller_id: UUID, status: ParcelStatus | None, piece: Piece
) -> OrderPage:
    """Orders with something of a seller's, whose own parcel of it is that far; newest first."""
    if status is None:
        return await _page(reads, "seller_ids @> %s", [[seller_id]], piece)
    return await _page(reads, "sold @> %s", [[sold_mark(seller_id, status)]], piece)


async def orders_tracked_by(reads: Reads, tracking_number: str) -> list[Order]:
    """Those with a parcel of this number; carriers use theirs again, so the newest first."""
    rows = await reads.all(
        "SELECT document FROM orders WHERE tracking_numbers @> %s ORDER BY created_at DESC LIMIT 20",
        [as_scanned(tracking_number)],
    )
    return [_decode(document).order for (document,) in rows]


async def _page(reads: Reads, where: str, parameters: Sequence[Any], piece: Piece) -> OrderPage:
    question = Question(columns="document", source="orders", where=where, parameters=parameters)
    found = await question.ask(reads, _NEWEST, piece)
    documents = [_decode(document) for (document,) in found.rows]
    return OrderPage(total=found.total, documents=documents, last=found.last)


_NEWEST: Final = Sorting(by=("created_at", "number"), descending=True, types=("timestamptz", "text"))
