"""How sales are made from what happens to orders."""

from __future__ import annotations

from datetime import UTC, date
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import ARRAY, BigInteger, Column, Date, Index, Integer, Uuid, text

from domain.kernel import ListingId, Recorded, SellerId
from domain.money import Money
from domain.orders.events import (
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
)
from projections.projection import Projection, Rows, by_stream, read_model


class SoldLine(msgspec.Struct, frozen=True, kw_only=True):
    """``revenue`` is what the goods came to after all discounts, before tax and shipping."""

    listing_id: ListingId
    seller_id: SellerId
    units: int
    revenue: int


class SoldRefund(msgspec.Struct, frozen=True, kw_only=True):
    """``amount`` is less than nothing where what was told to be sent came back to us."""

    day: date
    amount: int


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """An order as the books have it: ``day`` is that of UTC on which its money came, by the payment ``intent_id``.

    Refunds of any other payment are no refunds of sales: that money was never taken for one. All sums are in minor
    units.
    """

    total: int
    lines: tuple[SoldLine, ...]
    day: date | None = None
    intent_id: str = ""
    refunds: tuple[SoldRefund, ...] = ()


sales = read_model(
    "sales",
    Column("day", Date),
    Column("total", BigInteger, nullable=False),
    Column("units", Integer, nullable=False),
    Column("listing_ids", ARRAY(Uuid), nullable=False),
    Column("seller_ids", ARRAY(Uuid), nullable=False),
    Column("line_units", ARRAY(Integer), nullable=False),
    Column("line_revenues", ARRAY(BigInteger), nullable=False),
    Column("refund_days", ARRAY(Date)),
    Column("refund_amounts", ARRAY(BigInteger)),
    Column("last_refund_day", Date),
    # A year's sums are made of this alone, without looking at the orders.
    Index(
        "idx_sales_day",
        "day",
        postgresql_include=["total", "units"],
        postgresql_where=text("day IS NOT NULL"),
    ),
    Index("idx_sales_refunds", "last_refund_day", postgresql_where=text("last_refund_day IS NOT NULL")),
    Index(
        "idx_sales_sellers", "seller_ids", postgresql_using="gin", postgresql_where=text("day IS NOT NULL")
    ),
)


def _fold(sale: Sale | None, recorded: Recorded[Any], _: UUID) -> Sale:
    event = recorded.event
    if isinstance(event, OrderPlaced):
        return Sale(total=event.total.minor, lines=tuple(map(_line, event.lines)))
    assert sale is not None, "an order's first event is OrderPlaced"
    if isinstance(event, OrderConfirmed):
        return replace(sale, day=event.confirmed_at.astimezone(UTC).date(), intent_id=event.intent_id)
    assert isinstance(event, OrderRefunded | OrderRefundFailed)
    if sale.day is None or event.intent_id != sale.intent_id:
        return sale
    amount = event.amount.minor if isinstance(event, OrderRefunded) else -event.amount.minor
    refund = SoldRefund(day=recorded.timestamp.astimezone(UTC).date(), amount=amount)
    return replace(sale, refunds=(*sale.refunds, refund))


def _line(line: OrderLine) -> SoldLine:
    revenue: Money = line.discounted_total - line.promotion_discount
    return SoldLine(
        listing_id=line.listing_id, seller_id=line.seller_id, units=line.quantity, revenue=revenue.minor
    )


def _row(sale: Sale) -> dict[str, Any]:
    lines, refunds = sale.lines, sale.refunds
    return {
        "day": sale.day,
        "total": sale.total,
        "units": sum(line.units for line in lines),
        "listing_ids": [line.listing_id for line in lines],
        "seller_ids": [line.seller_id for line in lines],
        "line_units": [line.units for line in lines],
        "line_revenues": [line.revenue for line in lines],
        "refund_days": [refund.day for refund in refunds] or None,
        "refund_amounts": [refund.amount for refund in refunds] or None,
        "last_refund_day": max((refund.day for refund in refunds), default=None),
    }


SALES = Projection(
    name="sales",
    version=2,
    events=(OrderPlaced, OrderConfirmed, OrderRefunded, OrderRefundFailed),
    document=Sale,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=sales, row=_row),
)
