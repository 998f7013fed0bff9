"""Wishing for products."""

from __future__ import annotations

from datetime import timedelta

import pytest

from domain.wishlists.events import WishlistEvent, WishlistItemAdded, WishlistItemRemoved
from domain.wishlists.wishlist import (
    MOST_WISHED,
    WISHLISTS,
    Wishlist,
    WishlistFullError,
    WishlistItemNotFoundError,
)
from tests.domain.builders import BUYER, NOW, listing_id

LATER = NOW + timedelta(days=1)
ADDED = WishlistItemAdded(account_id=BUYER.account_id, listing_id=listing_id(1), added_at=NOW)
REMOVED = WishlistItemRemoved(account_id=BUYER.account_id, listing_id=listing_id(1))
EMPTY = Wishlist(account_id=BUYER.account_id)


def after(*events: WishlistEvent) -> Wishlist:
    return WISHLISTS.after(None, events)


class TestWishing:
    def test_for_something_once(self) -> None:
        assert EMPTY.add(listing_id(1), NOW) == [ADDED]
        assert after(ADDED).add(listing_id(1), LATER) == []
        assert after(ADDED).items == {listing_id(1): NOW}

    def test_no_more(self) -> None:
        assert after(ADDED).remove(listing_id(1)) == [REMOVED]
        assert after(ADDED, REMOVED) == EMPTY
        for wishlist in (EMPTY, after(ADDED, REMOVED)):
            with pytest.raises(WishlistItemNotFoundError):
                wishlist.remove(listing_id(1))

    def test_has_an_end(self) -> None:
        full = Wishlist(
            account_id=BUYER.account_id, items={listing_id(n): NOW for n in range(1, MOST_WISHED + 1)}
        )
        with pytest.raises(WishlistFullError):
            full.add(listing_id(MOST_WISHED + 1), NOW)
        assert full.add(listing_id(1), NOW) == []
        assert len(full.remove(listing_id(1))) == 1
