"""What there are but few left of, for admins."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import Controller, Request, get
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, admin
from api.backend import Backend
from api.documentation import answers
from api.input import decode_query
from api.models import InventoryReportPage
from api.paging import CursorQuery
from api.tables import Format, is_table, table
from application.reports.spreadsheets import Cell
from domain.listings.listing import Listing
from projections.inventory.projector import INVENTORY
from projections.inventory.query import inventory_page
from projections.keyset import Piece

HttpRequest = Request[Any, Any, Any]

MOST_ROWS: Final = 10_000

_COLUMNS: Final = (
    "productId", "uuid", "title", "inventoryCount", "stock", "reserved", "available", "sellerId", "status",
)  # fmt: skip


class InventoryQuery(CursorQuery, frozen=True, kw_only=True):
    """``threshold`` is the number of units up to which there are few; else the one at which sellers are told.

    ``format=csv`` asks for a table of all of them, 10,000 at most, as ``Accept: text/csv`` does.
    """

    format: Format | None = None
    threshold: Annotated[int, Meta(ge=0, le=1_000_000, examples=[5])] | None = None


class InventoryReportController(Controller):
    path = "/admin/reports/inventory"
    tags = ("Reports",)
    guards = (admin,)
    security = BEARER

    @get(query=InventoryQuery, table=True, responses=answers(InventoryReportPage, 200, 401, 403))
    async def inventory(self, request: HttpRequest, backend: Backend) -> ASGIResponse:
        """What is on sale and of which there are ``threshold`` units at most that nobody has ordered, scarcest first.

        What is unique is not among it: there is never more than one. ``Accept: text/csv`` gives a table.
        """
        asked = decode_query(request.scope["query_string"], InventoryQuery)
        position = await backend.reading.fresh(request, INVENTORY.name)
        threshold = backend.settings.low_stock_threshold if asked.threshold is None else asked.threshold
        reads = backend.read.reads
        if is_table(request, asked.format):
            whole = await inventory_page(reads, threshold, Piece(limit=MOST_ROWS, counted=False))
            bodies = [_body(listing) for listing in whole.listings]
            return table("inventory", _COLUMNS, [_row(body) for body in bodies], position)
        question = asked.question("inventory", threshold)
        piece = backend.cursors.piece(asked, question)
        found = await inventory_page(reads, threshold, piece)
        bodies = [_body(listing) for listing in found.listings]
        return backend.cursors.answer("products", bodies, asked, question, found, position=position)


def _body(listing: Listing) -> dict[str, Any]:
    """``inventoryCount`` is what can still be bought: a product calls it ``stock``, which is what is on hand here."""
    return {
        "productId": listing.number,
        "uuid": listing.id,
        "title": listing.title,
        "inventoryCount": listing.available,
        "stock": listing.stock,
        "reserved": listing.reserved,
        "available": listing.available,
        "sellerId": listing.seller_id,
        "status": listing.status,
    }


def _row(body: dict[str, Any]) -> tuple[Cell, ...]:
    return tuple(value if isinstance(value, int) else str(value) for value in map(body.get, _COLUMNS))
