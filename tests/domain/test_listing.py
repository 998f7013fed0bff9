"""What can be done with a listing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts.events import Caller
from domain.kernel import AccountId, ForbiddenError, stream_id
from domain.listings.events import (
    ListingDetailsChanged,
    ListingPriceChanged,
    ListingPublished,
    ListingStatus,
    ListingUnpublished,
    StockAdjusted,
    StockCommitted,
    StockReserved,
)
from domain.listings.listing import (
    LISTINGS,
    InsufficientStockError,
    Listing,
    ListingNotPublishableError,
    ProductNotFoundError,
)
from domain.money import Money
from domain.sellers.events import seller_of
from tests.domain.builders import ADMIN, BUYER, ORDER_ID, a_listing, a_listing_created, listing_id

ID = listing_id(1)


def reserved(quantity: int) -> StockReserved:
    return StockReserved(listing_id=ID, order_id=ORDER_ID, quantity=quantity)


class TestPublishing:
    def test_a_draft_becomes_active(self) -> None:
        draft = Listing.evolve(None, a_listing_created())
        assert draft.status is ListingStatus.DRAFT
        assert draft.publish() == [ListingPublished(listing_id=ID)]

    def test_publishing_twice_changes_nothing(self) -> None:
        assert a_listing().publish() == []

    def test_what_is_incomplete_is_refused_and_every_gap_named(self) -> None:
        draft = Listing.evolve(None, a_listing_created(images=(), description=""))
        with pytest.raises(ListingNotPublishableError) as refused:
            draft.publish()
        assert set(refused.value.details) == {"images", "description"}

    def test_an_active_one_goes_back_to_draft(self) -> None:
        assert a_listing().unpublish() == [ListingUnpublished(listing_id=ID)]


class TestChanging:
    def test_only_what_differs_is_recorded(self) -> None:
        listing = a_listing()
        assert listing.change_details(title="New", brand=listing.brand) == [
            ListingDetailsChanged(listing_id=ID, title="New")
        ]
        assert listing.change_details(title=listing.title) == []

    def test_a_new_price(self) -> None:
        assert a_listing().change_price(Money(1)) == [ListingPriceChanged(listing_id=ID, price=Money(1))]
        assert a_listing().change_price(Money(1000)) == []

    def test_a_stranger_may_not(self) -> None:
        with pytest.raises(ForbiddenError):
            a_listing().require_editable_by(BUYER)

    def test_its_seller_and_admins_may(self) -> None:
        a_listing().require_editable_by(ADMIN)
        seller = Caller(account_id=AccountId(stream_id("account", 9)), number=9)
        a_listing(seller_id=seller_of(seller.account_id)).require_editable_by(seller)


class TestStock:
    def test_what_is_reserved_is_not_available(self) -> None:
        assert a_listing(reserved(4)).available == 6

    def test_more_than_is_available_is_refused(self) -> None:
        with pytest.raises(InsufficientStockError) as refused:
            a_listing(reserved(4)).reserve(ORDER_ID, 7)
        assert refused.value.details == {"productId": 1, "available": 6, "requested": 7}

    def test_a_draft_cannot_be_bought(self) -> None:
        with pytest.raises(ProductNotFoundError):
            Listing.evolve(None, a_listing_created()).reserve(ORDER_ID, 1)

    def test_what_is_paid_is_gone(self) -> None:
        listing = a_listing(reserved(4), StockCommitted(listing_id=ID, order_id=ORDER_ID, quantity=4))
        assert (listing.stock, listing.reserved, listing.available) == (6, 0, 6)

    def test_a_count_below_what_orders_hold_is_refused(self) -> None:
        with pytest.raises(InsufficientStockError):
            a_listing(reserved(4)).adjust_stock(3)
        assert a_listing(reserved(4)).adjust_stock(4) == [StockAdjusted(listing_id=ID, stock=4)]

    @given(
        st.lists(st.tuples(st.sampled_from(["reserve", "commit", "adjust"]), st.integers(0, 12)), max_size=30)
    )
    def test_it_never_goes_below_zero_whatever_happens(self, steps: list[tuple[str, int]]) -> None:
        listing = a_listing()
        open_orders: list[int] = []
        for step, quantity in steps:
            try:
                if step == "reserve":
                    events = listing.reserve(ORDER_ID, quantity)
                    open_orders.append(quantity)
                elif step == "commit" and open_orders:
                    events = listing.commit(ORDER_ID, open_orders.pop())
                else:
                    events = listing.adjust_stock(quantity)
            except InsufficientStockError:
                continue
            folded = LISTINGS.fold(listing, events)
            assert folded is not None
            listing = folded
            assert 0 <= listing.reserved <= listing.stock
