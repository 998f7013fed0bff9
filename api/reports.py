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
from application.reports.spreadsheets import SALES_COLUMNS, Cell, amount, sales_row
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
    what their goods were sold for, without tax and shipping, and before anything went back.
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

        ``Accept: text/csv`` or ``format=csv`` gives the days as a table.
        """
        asked = decode_query(request.scope["query_string"], SalesQuery)
        start, end = asked.days(backend.write.clock.now().date())
        position = await backend.reading.fresh(request, SALES.name)
        shares = await _shares(asked, backend, start, end)
        if is_table(request, asked.format) and asked.by is not None:
            rows = [(*list(share.values())[:-1], f"{share['revenue']:.2f}") for share in shares]
            return table(f"sales-by-{asked.by}-{start}-{end}", _COLUMNS[asked.by], rows, position)
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
        """What one's own goods were sold for, without tax and shipping, on the day on which the money came."""
        asked = decode_query(request.scope["query_string"], RangeQuery)
        start, end = asked.days(backend.write.clock.now().date())
        position = await backend.reading.fresh(request, SALES.name)
        seller_id = seller_of(caller_of(request).account_id)
        days = _every_day(start, end, await sales_of_seller(backend.read.reads, seller_id, start, end))
        if is_table(request, asked.format):
            rows = [(day.day.isoformat(), day.orders, day.items, amount(day.revenue)) for day in days]
            return table(f"sales-{start}-{end}", _SELLER_COLUMNS, rows, position)
        body = {
            "start": start,
            "end": end,
            "timezone": "UTC",
            "currency": Money(0).currency,
            "orders": sum(day.orders for day in days),
            "items": sum(day.items for day in days),
            "revenue": _units(sum(day.revenue for day in days)),
            "byDay": [
                {"date": day.day, "orders": day.orders, "items": day.items, "revenue": _units(day.revenue)}
                for day in days
            ],
        }
        return answer(encode(body), position=position)


_SELLER_COLUMNS: Final = ("date", "orders", "items", "revenue")
_COLUMNS: Final = {
    "seller": ("sellerId", "number", "shopName", "orders", "items", "revenue"),
    "product": ("uuid", "id", "title", "orders", "items", "revenue"),
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
    orders = sum(day.orders for day in days)
    revenue = sum(day.revenue for day in days)
    refunds = sum(day.refunds for day in days)
    return {
        "start": start,
        "end": end,
        "timezone": "UTC",
        "currency": Money(0).currency,
        "orders": orders,
        "revenue": _units(revenue),
        "refunds": _units(refunds),
        "netRevenue": _units(revenue - refunds),
        "items": sum(day.items for day in days),
        "averageOrderValue": _units((2 * revenue + orders) // (2 * orders)) if orders else 0.0,
        "byDay": [
            {
                "date": day.day,
                "orders": day.orders,
                "revenue": _units(day.revenue),
                "refunds": _units(day.refunds),
                "items": day.items,
            }
            for day in days
        ],
    }


def _seller_body(share: SoldBy) -> dict[str, Any]:
    return {
        "sellerId": str(share.seller_id),
        "number": share.number,
        "shopName": share.name,
        "orders": share.orders,
        "items": share.items,
        "revenue": _units(share.revenue),
    }


def _product_body(share: SoldProduct) -> dict[str, Any]:
    return {
        "uuid": str(share.listing_id),
        "id": share.number,
        "title": share.title,
        "orders": share.orders,
        "items": share.items,
        "revenue": _units(share.revenue),
    }


def _day_row(day: DaySales) -> tuple[Cell, ...]:
    return sales_row(day.day, day.orders, day.items, Money(day.revenue), Money(day.refunds))


def _units(minor: int) -> float:
    return Money(minor).units()
