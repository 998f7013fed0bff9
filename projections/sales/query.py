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
    """``orders`` are those whose money came on that day; the rest went back on it, of whichever orders.

    ``refunds`` we sent back, ``lost_disputes`` took the payers' banks; both are less than nothing where more came to us
    again.
    """

    day: date
    orders: int = 0
    revenue: int = 0
    refunds: int = 0
    lost_disputes: int = 0
    items: int = 0


class SoldBy(msgspec.Struct, frozen=True, kw_only=True):
    """A seller's share; no ``name`` where their shop is gone."""

    seller_id: UUID
    number: int | None
    name: str | None
    orders: int
    items: int
    revenue: int
    refunds: int = 0
    lost_disputes: int = 0


class SoldProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product's share; neither ``number`` nor ``title`` where it is gone."""

    listing_id: UUID
    number: int | None
    title: str | None
    orders: int
    items: int
    revenue: int
    refunds: int = 0
    lost_disputes: int = 0


_SOLD: Final = """
FROM sales CROSS JOIN LATERAL unnest(listing_ids, seller_ids, line_units, line_revenues)
    AS line (listing_id, seller_id, units, revenue)
WHERE sales.day BETWEEN %s AND %s
"""

_BACK: Final = """
FROM sales CROSS JOIN LATERAL unnest(back_days, back_lines, back_amounts, back_lost) AS back (day, line, amount, lost)
WHERE last_back_day >= %s AND back.day BETWEEN %s AND %s
"""

_SUMS_OF_SOLD: Final = """
count(DISTINCT sales.key) AS orders, sum(line.revenue) AS revenue, 0 AS refunds, 0 AS lost, sum(line.units) AS items
"""

_SUMS_OF_BACK: Final = """
0, 0, sum(CASE WHEN back.lost THEN 0 ELSE back.amount END), sum(CASE WHEN back.lost THEN back.amount ELSE 0 END), 0
"""

_SUMS: Final = """
sum(orders)::bigint, sum(revenue)::bigint AS revenue, sum(refunds)::bigint, sum(lost)::bigint, sum(items)::bigint
"""

_BY_DAY: Final = f"""
SELECT day, {_SUMS} FROM (
    SELECT day, count(*) AS orders, sum(total) AS revenue, 0 AS refunds, 0 AS lost, sum(units) AS items
    FROM sales WHERE day BETWEEN %s AND %s GROUP BY day
    UNION ALL
    SELECT back.day, {_SUMS_OF_BACK} {_BACK} GROUP BY back.day
) AS parts GROUP BY day ORDER BY day
"""

_OF_SELLER: Final = f"""
SELECT day, {_SUMS} FROM (
    SELECT sales.day, {_SUMS_OF_SOLD} {_SOLD}
        AND seller_ids @> ARRAY[%s]::uuid[] AND line.seller_id = %s GROUP BY sales.day
    UNION ALL
    SELECT back.day, {_SUMS_OF_BACK} {_BACK}
        AND sales.day IS NOT NULL AND seller_ids @> ARRAY[%s]::uuid[] AND seller_ids[back.line] = %s GROUP BY back.day
) AS parts GROUP BY day ORDER BY day
"""


def _shares(whose: str) -> str:
    """Also of those of whom nothing was sold in these days, and something went back."""
    return f"""
SELECT {whose}_id, {_SUMS} FROM (
    SELECT line.{whose}_id, {_SUMS_OF_SOLD} {_SOLD} GROUP BY line.{whose}_id
    UNION ALL
    SELECT {whose}_ids[back.line], {_SUMS_OF_BACK} {_BACK} AND back.line > 0 GROUP BY {whose}_ids[back.line]
) AS parts GROUP BY {whose}_id ORDER BY revenue DESC, {whose}_id LIMIT %s
"""


_SHARE: Final = "share.orders, share.items, share.revenue, share.refunds, share.lost"

_BY_SELLER: Final = f"""
SELECT share.id, sellers.number, sellers.shop_name, {_SHARE}
FROM ({_shares("seller")}) AS share (id, orders, revenue, refunds, lost, items)
LEFT JOIN sellers ON sellers.key = share.id ORDER BY share.revenue DESC, share.id
"""

_BY_PRODUCT: Final = f"""
SELECT share.id, products.number, products.title, {_SHARE}
FROM ({_shares("listing")}) AS share (id, orders, revenue, refunds, lost, items)
LEFT JOIN products ON products.key = share.id ORDER BY share.revenue DESC, share.id
"""


async def sales_by_day(reads: Reads, start: date, end: date) -> list[DaySales]:
    """The days on which there was anything, in order."""
    return _days(await reads.all(_BY_DAY, start, end, start, start, end))


async def sales_of_seller(reads: Reads, seller_id: UUID, start: date, end: date) -> list[DaySales]:
    """The same of what one seller's lines brought in, which is for the goods alone, and of what these bear."""
    own = (seller_id, seller_id)
    return _days(await reads.all(_OF_SELLER, start, end, *own, start, start, end, *own))


async def sales_by_seller(reads: Reads, start: date, end: date) -> list[SoldBy]:
    rows = await reads.all(_BY_SELLER, start, end, start, start, end, MOST_TOLD)
    return [
        SoldBy(
            seller_id=seller_id,
            number=number,
            name=name,
            orders=orders,
            items=items,
            revenue=revenue,
            refunds=refunds,
            lost_disputes=lost,
        )
        for seller_id, number, name, orders, items, revenue, refunds, lost in rows
    ]


async def sales_by_product(reads: Reads, start: date, end: date) -> list[SoldProduct]:
    rows = await reads.all(_BY_PRODUCT, start, end, start, start, end, MOST_TOLD)
    return [
        SoldProduct(
            listing_id=listing_id,
            number=number,
            title=title,
            orders=orders,
            items=items,
            revenue=revenue,
            refunds=refunds,
            lost_disputes=lost,
        )
        for listing_id, number, title, orders, items, revenue, refunds, lost in rows
    ]


async def first_day_of_sales(reads: Reads) -> date | None:
    row = await reads.one("SELECT min(day) FROM sales WHERE day IS NOT NULL")
    return None if row is None else row[0]


def _days(rows: list[tuple[date, int, int, int, int, int]]) -> list[DaySales]:
    return [
        DaySales(day=day, orders=orders, revenue=revenue, refunds=refunds, lost_disputes=lost, items=items)
        for day, orders, revenue, refunds, lost, items in rows
    ]
