"""The inventory: events in, rows out, and the same after a rebuild."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from domain.kernel import Event, ListingId, SellerId
from domain.listings.events import (
    ListingDeleted,
    ListingDetailsChanged,
    ListingEvent,
    ListingHidden,
    ListingPublished,
    ListingRestored,
    ListingSlugChanged,
    ListingUnhidden,
    ListingUnpublished,
    LowStockReached,
    StockAdjusted,
    StockCommitted,
    StockReservationReleased,
    StockReserved,
    StockRestored,
)
from domain.sellers.events import HOUSE_SELLER, SellerReinstated, SellerSuspended, seller_of
from projections.inventory.projector import INVENTORY
from projections.inventory.query import LowStock, inventory_page, low_stock_untold
from projections.keyset import Piece
from tests.domain.builders import BUYER, NOW, ORDER_ID, a_listing_created, listing_id
from tests.projections.test_forgetting import Shown, showing

THEIRS = seller_of(BUYER.account_id)
OF_SELLER: dict[str, Any] = {"seller_id": THEIRS, "account_id": BUYER.account_id}


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(database_url, INVENTORY) as shown:
        yield shown


async def record(shown: Shown, *events: Any) -> None:
    def stream_of(event: Any) -> UUID:
        return event.seller_id if isinstance(event, SellerSuspended | SellerReinstated) else event.listing_id

    recorded: list[tuple[UUID, Event]] = [(stream_of(event), event) for event in events]
    await shown.stand.shop.record(recorded)
    await shown.caught_up()


def on_sale(number: int, stock: int, **fields: Any) -> list[ListingEvent]:
    created = a_listing_created(number, stock=stock, **fields)
    return [created, ListingPublished(listing_id=created.listing_id)]


async def few(shown: Shown, threshold: int = 5) -> list[tuple[int, int]]:
    """Number and units of what the report shows."""
    page = await inventory_page(shown.reads, threshold, Piece(limit=100))
    assert page.total == len(page.listings)
    return [(listing.number, listing.available) for listing in page.listings]


async def untold(shown: Shown, threshold: int = 5) -> list[int]:
    return [each.number for each in await low_stock_untold(shown.reads, threshold, None, 100)]


async def test_the_scarcest_come_first_and_what_nobody_can_buy_not_at_all(shown: Shown) -> None:
    await record(
        shown,
        *on_sale(1, 5),
        *on_sale(2, 0),
        *on_sale(3, 6),
        *on_sale(4, 5),
        *on_sale(5, 1, unique=True),
        a_listing_created(6, stock=1),
        *on_sale(7, 1),
        ListingUnpublished(listing_id=listing_id(7)),
        *on_sale(8, 1),
        ListingDeleted(listing_id=listing_id(8), deleted_at=NOW),
        *on_sale(9, 1),
        ListingHidden(listing_id=listing_id(9)),
    )
    assert await few(shown) == [(2, 0), (1, 5), (4, 5)]
    assert await few(shown, 0) == [(2, 0)]
    assert await few(shown, 6) == [(2, 0), (1, 5), (4, 5), (3, 6)]
    await record(
        shown,
        ListingRestored(listing_id=listing_id(8)),
        ListingUnhidden(listing_id=listing_id(9)),
        ListingDetailsChanged(listing_id=listing_id(2), title="Anew"),
        # What it does not hear of is in its way no more than it is in the catalogue's.
        ListingSlugChanged(listing_id=listing_id(2), slug="anew"),
    )
    assert await few(shown, 1) == [(2, 0), (8, 1), (9, 1)]
    (listing,) = (await inventory_page(shown.reads, 0, Piece(limit=100))).listings
    assert listing.title == "Anew"


async def test_what_open_orders_hold_cannot_be_bought(shown: Shown) -> None:
    units: dict[str, Any] = {"listing_id": listing_id(1), "order_id": ORDER_ID}
    await record(shown, *on_sale(1, 9), StockReserved(**units, quantity=4))
    (listing,) = (await inventory_page(shown.reads, 5, Piece(limit=100))).listings
    assert (listing.stock, listing.reserved, listing.available) == (9, 4, 5)
    await record(shown, StockCommitted(**units, quantity=4))
    (listing,) = (await inventory_page(shown.reads, 5, Piece(limit=100))).listings
    assert (listing.stock, listing.reserved, listing.available) == (5, 0, 5)
    await record(shown, StockRestored(**units, quantity=4))
    assert await few(shown) == []


async def test_who_was_told_is_asked_about_again_once_there_were_more(shown: Shown) -> None:
    units: dict[str, Any] = {"listing_id": listing_id(1), "order_id": ORDER_ID}
    await record(shown, *on_sale(1, 4), *on_sale(2, 5), *on_sale(3, 6))
    assert await untold(shown) == [1, 2]
    first, second = await low_stock_untold(shown.reads, 5, None, 2)
    assert first == LowStock(4, 1, listing_id(1), SellerId(HOUSE_SELLER))
    assert await low_stock_untold(shown.reads, 5, first, 1) == [second]
    assert await low_stock_untold(shown.reads, 5, second, 1) == []
    told = LowStockReached(listing_id=listing_id(1), seller_id=HOUSE_SELLER, available=4, threshold=5)
    await record(
        shown, told, StockReserved(**units, quantity=1), StockReservationReleased(**units, quantity=1)
    )
    assert await untold(shown) == [2]
    assert await few(shown) == [(1, 4), (2, 5)]
    await record(shown, StockAdjusted(listing_id=listing_id(1), stock=6), StockReserved(**units, quantity=1))
    assert await untold(shown) == [1, 2]


async def test_what_a_seller_offers_who_is_suspended_is_not_asked_about(shown: Shown) -> None:
    await record(shown, *on_sale(1, 3, seller_id=THEIRS), *on_sale(2, 3))
    await record(shown, SellerSuspended(**OF_SELLER, cause="admin"))
    assert await few(shown) == [(2, 3)]
    await record(shown, SellerReinstated(**OF_SELLER, cause="admin"))
    assert await few(shown) == [(1, 3), (2, 3)]


async def test_a_rebuild_makes_the_same(shown: Shown) -> None:
    units: dict[str, Any] = {"listing_id": ListingId(listing_id(1)), "order_id": ORDER_ID}
    await record(
        shown,
        *on_sale(1, 9),
        StockReserved(**units, quantity=4),
        *on_sale(2, 1, seller_id=THEIRS),
        LowStockReached(listing_id=listing_id(2), seller_id=THEIRS, available=1, threshold=5),
    )
    assert (await shown.rebuilt(INVENTORY)).startswith("equal to generation 1")
