"""What was sold, in figures: for admins of the whole shop, for sellers of what is theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal

from litestar import Controller, Request, get
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin, caller_of, seller
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, Check, decode_query
from api.models import SalesReport, SellerSalesReport
from api.tables import Format, is_table, table
from api.wire import answer, encode
from application.reports.spreadsheets import SALES_COLUMNS, Cell, sales_row
from domain.kernel import InvalidInputError
from domain.money import Money
from domain.sellers.events import seller_of
from projections.sales.projector import SALES
from projections.sales.query import (
    DaySales,
    SoldBy,
    SoldProduct,
    sales_by_day,
    sales_by_product,
    sales_by_seller,
    sales_of_seller,
)

HttpRequest = Request[Any, Any, Any]

MOST_DAYS: Final = 366
USUAL_DAYS: Final = 30


def _date_faults(text: str) -> list[str]:
    return [] if _day(text) is not None else ["Must be a date such as 2026-11-21"]


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


Day = Annotated[str, Meta(examples=["2026-11-21"], extra_json_schema={"format": "date"}), Check(_date_faults)]


class RangeQuery(Body, frozen=True, kw_only=True):
    """Days of UTC, both included, 366 at most. Without ``end`` it is today, without ``start`` 30 days in all."""

    start: Day | None = None
    end: Day | None = None
    format: Format | None = None

    def days(self, today: date) -> tuple[date, date]:
        end = (self.end and _day(self.end)) or today
        start = (self.start and _day(self.start)) or end - timedelta(days=USUAL_DAYS - 1)
        if start > end:
            raise InvalidInputError({"start": ["Must not be after end"]})
        if (end - start).days >= MOST_DAYS:
            raise InvalidInputError({"end": [f"Must be within {MOST_DAYS} days from start"]})
        return start, end


class SalesQuery(RangeQuery, frozen=True, kw_only=True):
    """Days of UTC, both included, 366 at most. Without ``end`` it is today, without ``start`` 30 days in all.

    ``by`` adds the hundred sellers or products that brought in most; as CSV it is they alone. What they brought in is
    what their goods were sold for, without tax and shipping; of what went back it is what these goods bear.
    """

    by: Literal["seller", "product"] | None = None


class SalesReportController(Controller):
    path = "/admin/reports/sales"
    tags = ("Reports",)
    guards = (admin,)
    security = BEARER

    @get(query=SalesQuery, table=True, responses=answers(SalesReport, 200, 401, 403))
    async def sales(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """Orders count on the day on which their money came, refunds on the day on which they were made.

        Disputes count on the day on which they were lost; one that is won after all gives the money back on that day.
        ``Accept: text/csv`` or ``format=csv`` gives the days as a table.
        """
        asked = decode_query(request.scope["query_string"], SalesQuery)
        start, end = asked.days(backend.write.clock.now().date())
        position = await backend.reading.fresh(request, SALES.name)
        shares = await _shares(asked, backend, start, end)
        if is_table(request, asked.format) and asked.by is not None:
            columns = (*_COLUMNS[asked.by], *_SUMS)
            rows = [
                [f"{share[name]:.2f}" if name in _SUMS else share[name] for name in columns]
                for share in shares
            ]
            return table(f"sales-by-{asked.by}-{start}-{end}", columns, rows, position)
        days = _every_day(start, end, await sales_by_day(backend.read.reads, start, end))
        if is_table(request, asked.format):
            return table(f"sales-{start}-{end}", SALES_COLUMNS, [_day_row(day) for day in days], position)
        body = _report_body(start, end, days)
        if asked.by is not None:
            body[f"{asked.by}s"] = shares
        return answer(encode(body), position=position)


class SellerSalesController(Controller):
    path = "/sellers/me/reports/sales"
    tags = ("Reports",)
    guards = (seller,)
    security = BEARER

    @get(query=RangeQuery, table=True, responses=answers(SellerSalesReport, 200, 401, 403))
    async def sales(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What one's own goods were sold for, without tax and shipping, on the day on which the money came.

        Of what went back on a day it is what these goods bear: of a return, what they were sold for; of what is for no
        return, and of disputes that were lost, in proportion to what is left of all that the order came to.
        """
        asked = decode_query(request.scope["query_string"], RangeQuery)
        start, end = asked.days(backend.write.clock.now().date())
        position = await backend.reading.fresh(request, SALES.name)
        seller_id = seller_of(caller_of(request).account_id)
        days = _every_day(start, end, await sales_of_seller(backend.read.reads, seller_id, start, end))
        if is_table(request, asked.format):
            rows = [_day_row(day)[:-1] for day in days]
            return table(f"sales-{start}-{end}", SALES_COLUMNS[:-1], rows, position)
        body = {
            "start": start,
            "end": end,
            "timezone": "UTC",
            "currency": Money(0).currency,
            **_figures(days),
            "byDay": [{"date": day.day, **_figures([day])} for day in days],
        }
        return answer(encode(body), position=position)


_SUMS: Final = ("revenue", "refunds", "lostDisputes", "netRevenue")
_COLUMNS: Final = {
    "seller": ("sellerId", "number", "shopName", "orders", "items"),
    "product": ("uuid", "id", "title", "orders", "items"),
}


async def _shares(asked: SalesQuery, backend: BackendParts, start: date, end: date) -> list[dict[str, Any]]:
    reads = backend.read.reads
    match asked.by:
        case "seller":
            return [_seller_body(share) for share in await sales_by_seller(reads, start, end)]
        case "product":
            return [_product_body(share) for share in await sales_by_product(reads, start, end)]
        case None:
            return []


def _every_day(start: date, end: date, known: Sequence[DaySales]) -> list[DaySales]:
    """Also those on which there was nothing."""
    found = {each.day: each for each in known}
    days = [start + timedelta(days=number) for number in range((end - start).days + 1)]
    return [found.get(day) or DaySales(day=day) for day in days]


def _report_body(start: date, end: date, days: Sequence[DaySales]) -> dict[str, Any]:
    figures = _figures(days)
    orders, revenue = figures["orders"], sum(day.revenue for day in days)
    return {
        "start": start,
        "end": end,
        "timezone": "UTC",
        "currency": Money(0).currency,
        **figures,
        "averageOrderValue": _units((2 * revenue + orders) // (2 * orders)) if orders else 0.0,
        "byDay": [{"date": day.day, **_figures([day])} for day in days],
    }


def _figures(sold: Sequence[DaySales | SoldBy | SoldProduct]) -> dict[str, Any]:
    """What they come to together."""
    revenue, refunds, lost = (
        sum(getattr(each, name) for each in sold) for name in ("revenue", "refunds", "lost_disputes")
    )
    return {
        "orders": sum(each.orders for each in sold),
        "items": sum(each.items for each in sold),
        "revenue": _units(revenue),
        "refunds": _units(refunds),
        "lostDisputes": _units(lost),
        "netRevenue": _units(revenue - refunds - lost),
    }


def _seller_body(share: SoldBy) -> dict[str, Any]:
    return {
        "sellerId": str(share.seller_id),
        "number": share.number,
        "shopName": share.name,
        **_figures([share]),
    }


def _product_body(share: SoldProduct) -> dict[str, Any]:
    return {
        "uuid": str(share.listing_id),
        "id": share.number,
        "title": share.title,
        **_figures([share]),
    }


def _day_row(day: DaySales) -> tuple[Cell, ...]:
    return sales_row(
        day.day,
        day.orders,
        day.items,
        revenue=Money(day.revenue),
        refunds=Money(day.refunds),
        lost_disputes=Money(day.lost_disputes),
    )


def _units(minor: int) -> float:
    return Money(minor).units()
