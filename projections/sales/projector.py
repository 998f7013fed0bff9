"""How sales are made from what happens to orders."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Date, Index, Integer, Uuid, text

from domain.orders.events import (
    OrderConfirmed,
    OrderDisputed,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnReceived,
    OrderReturnRequested,
)
from projections.projection import Projection, Rows, by_stream, read_model
from projections.sales.sale import Sale, fold

sales = read_model(
    "sales",
    Column("day", Date),
    Column("total", BigInteger, nullable=False),
    Column("units", Integer, nullable=False),
    Column("listing_ids", ARRAY(Uuid), nullable=False),
    Column("seller_ids", ARRAY(Uuid), nullable=False),
    Column("line_units", ARRAY(Integer), nullable=False),
    Column("line_revenues", ARRAY(BigInteger), nullable=False),
    # The parts of what went back: of which line (from 1 on; 0 is tax and shipping), and whether a bank took it.
    Column("back_days", ARRAY(Date)),
    Column("back_lines", ARRAY(Integer)),
    Column("back_amounts", ARRAY(BigInteger)),
    Column("back_lost", ARRAY(Boolean)),
    Column("last_back_day", Date),
    # A year's sums are made of this alone, without looking at the orders.
    Index(
        "idx_sales_day",
        "day",
        postgresql_include=["total", "units"],
        postgresql_where=text("day IS NOT NULL"),
    ),
    Index("idx_sales_back", "last_back_day", postgresql_where=text("last_back_day IS NOT NULL")),
    Index(
        "idx_sales_sellers", "seller_ids", postgresql_using="gin", postgresql_where=text("day IS NOT NULL")
    ),
)


def _row(sale: Sale) -> dict[str, Any]:
    lines = sale.lines
    back = [
        (each.day, (line + 1) % len(each.parts), amount, each.lost)
        for each in sale.back
        for line, amount in enumerate(each.parts)
        if amount
    ]
    days, of_lines, amounts, lost = ([*column] for column in zip(*back, strict=True)) if back else (None,) * 4
    return {
        "day": sale.day,
        "total": sale.total,
        "units": sum(line.units for line in lines),
        "listing_ids": [line.listing_id for line in lines],
        "seller_ids": [line.seller_id for line in lines],
        "line_units": [line.units for line in lines],
        "line_revenues": [line.revenue for line in lines],
        "back_days": days,
        "back_lines": of_lines,
        "back_amounts": amounts,
        "back_lost": lost,
        "last_back_day": max(days) if days else None,
    }


SALES = Projection(
    name="sales",
    version=3,
    events=(
        OrderPlaced,
        OrderConfirmed,
        OrderReturnRequested,
        OrderReturnReceived,
        OrderRefunded,
        OrderRefundFailed,
        OrderDisputed,
    ),
    document=Sale,
    keys=by_stream,
    fold=fold,
    into=Rows(table=sales, row=_row),
)
