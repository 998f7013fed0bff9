"""A wishlist: the products that somebody would like to have."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, assert_never

import msgspec

from domain.kernel import AccountId, Decider, ListingId, NotFoundError, RuleViolatedError
from domain.wishlists.events import WishlistEvent, WishlistItemAdded, WishlistItemRemoved

MOST_WISHED: Final = 500


class WishlistItemNotFoundError(NotFoundError):
    code = "WISHLIST_ITEM_NOT_FOUND"


class WishlistFullError(RuleViolatedError):
    code = "WISHLIST_FULL"


class Wishlist(msgspec.Struct, frozen=True, kw_only=True):
    """``items`` tells of each product since when it is wished for."""

    account_id: AccountId
    items: Mapping[ListingId, datetime] = msgspec.field(default_factory=dict)

    def add(self, listing_id: ListingId, at: datetime) -> list[WishlistEvent]:
        if listing_id in self.items:
            return []
        if len(self.items) >= MOST_WISHED:
            raise WishlistFullError(f"A wishlist holds at most {MOST_WISHED} products")
        return [WishlistItemAdded(account_id=self.account_id, listing_id=listing_id, added_at=at)]

    def remove(self, listing_id: ListingId) -> list[WishlistEvent]:
        if listing_id not in self.items:
            raise WishlistItemNotFoundError("This product is not on the wishlist")
        return [WishlistItemRemoved(account_id=self.account_id, listing_id=listing_id)]

    @classmethod
    def evolve(cls, wishlist: Wishlist | None, event: WishlistEvent) -> Wishlist:
        known = wishlist or cls(account_id=event.account_id)
        match event:
            case WishlistItemAdded(listing_id=listing_id, added_at=at):
                items = {**known.items, listing_id: at}
            case WishlistItemRemoved(listing_id=listing_id):
                items = {wished: since for wished, since in known.items.items() if wished != listing_id}
            case _:
                assert_never(event)
        return cls(account_id=known.account_id, items=items)


WISHLISTS: Decider[Wishlist, WishlistEvent] = Decider("wishlists", Wishlist.evolve, snapshot=Wishlist)
