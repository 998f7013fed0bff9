"""Tables as CSV (RFC 4180), as spreadsheets open them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import date
from io import StringIO
from typing import Final, TypeAlias

from domain.money import Money

Cell: TypeAlias = str | int | float

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""The last four are the first four in full width, which some spreadsheets take for the same."""
_UNSEEN: Final = " \u00a0\u200b\ufeff"
"""What stands before a formula without changing it, for some."""


SALES_COLUMNS: Final = (
    "date", "orders", "items", "revenue", "refunds", "lostDisputes", "netRevenue", "currency",
)  # fmt: skip


def sales_row(
    day: date, orders: int, items: int, *, revenue: Money, refunds: Money, lost_disputes: Money
) -> tuple[Cell, ...]:
    """What a day came to, as one of ``SALES_COLUMNS``."""
    sums = (revenue, refunds, lost_disputes, revenue - refunds - lost_disputes)
    return (day.isoformat(), orders, items, *(amount(each.minor) for each in sums), revenue.currency)


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> bytes:
    """Sums of money are given as they are shown. No text is taken for a formula by whoever opens it (OWASP)."""
    written = StringIO(newline="")
    writer = csv.writer(written)
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return written.getvalue().encode()


def amount(minor: int) -> str:
    """``-12.05`` for -1205 cents: a number, which needs no guard."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100}.{abs(minor) % 100:02}"


def _harmless(cell: Cell) -> Cell:
    if isinstance(cell, str) and cell.lstrip(_UNSEEN).startswith(_FORMULA) and not _is_number(cell):
        return f"'{cell}"
    return cell


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()
