"""What can happen to a wishlist."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from domain.kernel import AccountId, Event, ListingId, stream_id


def wishlist_of(account_id: AccountId) -> UUID:
    """The stream of all that an account wishes for: one, so that their number has a limit."""
    return stream_id("wishlist", str(account_id))


class WishlistItemAdded(Event, frozen=True, kw_only=True, tag="wishlist_item_added"):
    account_id: AccountId
    listing_id: ListingId
    added_at: datetime


class WishlistItemRemoved(Event, frozen=True, kw_only=True, tag="wishlist_item_removed"):
    account_id: AccountId
    listing_id: ListingId


WishlistEvent: TypeAlias = WishlistItemAdded | WishlistItemRemoved
