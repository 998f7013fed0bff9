"""Sellers are told that there are but few left: once, until there are more again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.kernel import ListingId
from domain.listings.events import (
    ListingDeleted,
    ListingEvent,
    ListingHidden,
    ListingUnpublished,
    LowStockReached,
    StockAdjusted,
    StockCommitted,
    StockReservationReleased,
    StockReserved,
    StockRestored,
)
from domain.listings.low_stock import low_stock_of
from domain.sellers.events import HOUSE_SELLER
from tests.domain.builders import BUYER, ORDER_ID, a_listing, listing_id

ID = listing_id(1)
UNITS: dict[str, Any] = {"listing_id": ID, "order_id": ORDER_ID}


def told(number: int = 1, **fields: Any) -> LowStockReached:
    given: dict[str, Any] = {
        "listing_id": listing_id(number),
        "seller_id": HOUSE_SELLER,
        "available": 5,
        "threshold": 5,
        **fields,
    }
    return LowStockReached(**given)


class TestAListing:
    @pytest.mark.parametrize(("stock", "low"), [(0, True), (5, True), (6, False)])
    def test_is_low_at_the_threshold(self, stock: int, low: bool) -> None:
        assert bool(low_stock_of([a_listing(stock=stock)], 5, None)) is low

    def test_is_low_by_what_open_orders_hold(self) -> None:
        assert low_stock_of([a_listing(StockReserved(**UNITS, quantity=5))], 5, None) == {ID: [told()]}

    @pytest.mark.parametrize(
        "since",
        [
            ListingUnpublished(listing_id=ID),
            ListingHidden(listing_id=ID),
            ListingDeleted(listing_id=ID, deleted_at=datetime(2026, 11, 21, tzinfo=UTC)),
        ],
    )
    def test_that_nobody_can_buy_is_not(self, since: ListingEvent) -> None:
        assert low_stock_of([a_listing(since, stock=1)], 5, None) == {}

    def test_of_which_there_is_never_more_than_one_is_not(self) -> None:
        assert low_stock_of([a_listing(stock=1, unique=True)], 5, None) == {}

    @pytest.mark.parametrize(
        "since",
        [
            (),
            (StockReserved(**UNITS, quantity=2),),
            (StockReserved(**UNITS, quantity=2), StockReservationReleased(**UNITS, quantity=2)),
            (StockReserved(**UNITS, quantity=2), StockCommitted(**UNITS, quantity=2)),
            (StockAdjusted(listing_id=ID, stock=4),),
        ],
    )
    def test_is_told_of_once(self, since: tuple[ListingEvent, ...]) -> None:
        assert low_stock_of([a_listing(told(), *since, stock=5)], 5, None) == {}

    @pytest.mark.parametrize(
        "since",
        [
            (StockAdjusted(listing_id=ID, stock=6), StockAdjusted(listing_id=ID, stock=5)),
            (StockRestored(**UNITS, quantity=1), StockReserved(**UNITS, quantity=1)),
        ],
    )
    def test_is_told_of_again_once_there_were_more(self, since: tuple[ListingEvent, ...]) -> None:
        assert low_stock_of([a_listing(told(), *since, stock=5)], 5, None) == {ID: [told()]}

    def test_that_comes_back_from_an_order_is_more(self) -> None:
        held = (StockReserved(**UNITS, quantity=3), told(available=4))
        back = StockReservationReleased(**UNITS, quantity=3)
        again = StockReserved(**UNITS, quantity=3)
        assert low_stock_of([a_listing(*held, back, again, stock=7)], 5, None) == {ID: [told(available=4)]}


def test_several_are_told_of_together_and_the_scarcest_first() -> None:
    listings = [a_listing(number=number, stock=stock) for number, stock in ((1, 5), (2, 0), (3, 9), (4, 1))]
    account_id = BUYER.account_id
    two, four, one = (ListingId(listing_id(number)) for number in (2, 4, 1))
    assert low_stock_of(listings, 5, account_id) == {
        two: [told(2, available=0, account_id=account_id, others=(four, one))],
        four: [told(4, available=1, account_id=account_id, told_with=two)],
        one: [told(1, available=5, account_id=account_id, told_with=two)],
    }
