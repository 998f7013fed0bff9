"""Questions to what was sold. Days are of UTC, ranges include both their ends, sums are in minor units."""

from __future__ import annotations

from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from projections.ports import Reads

MOST_TOLD: Final = 100
"""So many sellers or products a breakdown tells of: those that brought in most."""


class DaySales(msgspec.Struct, frozen=True, kw_only=True):
    """``orders`` are those whose money came on that day; ``refunds`` went back on it, of whichever orders."""

    day: date
    orders: int = 0
    revenue: int = 0
    refunds: int = 0
    items: int = 0


class SoldBy(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's share; no ``name`` where their shop is gone."""

    seller_id: UUID
    number: int | None
    name: str | None
    orders: int
    items: int
    revenue: int


class SoldProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product's share; neither ``number`` nor ``title`` where it is gone."""

    listing_id: UUID
    number: int | None
    title: str | None
    orders: int
    items: int
    revenue: int


_BY_DAY: Final = """
SELECT day, sum(orders)::bigint, sum(revenue)::bigint, sum(refunds)::bigint, sum(items)::bigint FROM (
    SELECT day, count(*) AS orders, sum(total) AS revenue, 0 AS refunds, sum(units) AS items
    FROM sales WHERE day BETWEEN %s AND %s GROUP BY day
    UNION ALL
    SELECT refund.day, 0, 0, sum(refund.amount), 0
    FROM sales CROSS JOIN LATERAL unnest(refund_days, refund_amounts) AS refund (day, amount)
    WHERE last_refund_day >= %s AND refund.day BETWEEN %s AND %s GROUP BY refund.day
) AS parts GROUP BY day ORDER BY day
"""

_LINES: Final = """
FROM sales CROSS JOIN LATERAL unnest(listing_ids, seller_ids, line_units, line_revenues)
    AS line (listing_id, seller_id, units, revenue)
WHERE day BETWEEN %s AND %s
"""

_SHARES: Final = """
SELECT count(DISTINCT sales.key) AS orders, sum(line.units)::bigint AS items, sum(line.revenue)::bigint AS revenue
"""

_BY_SELLER: Final = f"""
SELECT share.seller_id, sellers.number, sellers.shop_name, share.orders, share.items, share.revenue
FROM (
    {_SHARES}, line.seller_id {_LINES} GROUP BY line.seller_id ORDER BY revenue DESC, line.seller_id LIMIT %s
) AS share
LEFT JOIN sellers ON sellers.key = share.seller_id ORDER BY share.revenue DESC, share.seller_id
"""

_BY_PRODUCT: Final = f"""
SELECT share.listing_id, products.number, products.title, share.orders, share.items, share.revenue
FROM (
    {_SHARES}, line.listing_id {_LINES} GROUP BY line.listing_id ORDER BY revenue DESC, line.listing_id LIMIT %s
) AS share
LEFT JOIN products ON products.key = share.listing_id ORDER BY share.revenue DESC, share.listing_id
"""

_OF_SELLER: Final = f"""
SELECT sales.day, count(DISTINCT sales.key), sum(line.revenue)::bigint, 0, sum(line.units)::bigint
{_LINES} AND seller_ids @> ARRAY[%s]::uuid[] AND line.seller_id = %s GROUP BY sales.day ORDER BY sales.day
"""


async def sales_by_day(reads: Reads, start: date, end: date) -> list[DaySales]:
    """The days on which there was anything, in order."""
    return _days(await reads.all(_BY_DAY, start, end, start, start, end))


async def sales_of_seller(reads: Reads, seller_id: UUID, start: date, end: date) -> list[DaySales]:
    """The same of one seller's lines, of which no refunds are known; revenue is of the goods alone."""
    return _days(await reads.all(_OF_SELLER, start, end, seller_id, seller_id))


async def sales_by_seller(reads: Reads, start: date, end: date) -> list[SoldBy]:
    rows = await reads.all(_BY_SELLER, start, end, MOST_TOLD)
    return [
        SoldBy(seller_id=seller_id, number=number, name=name, orders=orders, items=items, revenue=revenue)
        for seller_id, number, name, orders, items, revenue in rows
    ]


async def sales_by_product(reads: Reads, start: date, end: date) -> list[SoldProduct]:
    rows = await reads.all(_BY_PRODUCT, start, end, MOST_TOLD)
    return [
        SoldProduct(
            listing_id=listing_id, number=number, title=title, orders=orders, items=items, revenue=revenue
        )
        for listing_id, number, title, orders, items, revenue in rows
    ]


async def first_day_of_sales(reads: Reads) -> date | None:
    row = await reads.one("SELECT min(day) FROM sales WHERE day IS NOT NULL")
    return None if row is None else row[0]


def _days(rows: list[tuple[date, int, int, int, int]]) -> list[DaySales]:
    return [
        DaySales(day=day, orders=orders, revenue=revenue, refunds=refunds, items=items)
        for day, orders, revenue, refunds, items in rows
    ]
