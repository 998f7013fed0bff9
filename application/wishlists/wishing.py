"""Putting products on one's wishlist, and taking them off it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from application.listings.glancing import known_listing
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.account import ACCOUNTS, Account, UserNotFoundError
from domain.kernel import AccountId, ListingId
from domain.listings.listing import LISTINGS, Listing
from domain.reviewing import visible
from domain.sellers.seller import SELLERS
from domain.wishlists.events import wishlist_of
from domain.wishlists.wishlist import WISHLISTS, Wishlist


class AddToWishlist(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    listing_id: ListingId


class RemoveFromWishlist(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    listing_id: ListingId


class Wished(msgspec.Struct, frozen=True, kw_only=True):
    """A product, and since when it is wished for."""

    listing: Listing
    added_at: datetime


async def add_to_wishlist(
    command: AddToWishlist, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Wished]:
    now = clock.now()
    known = await known_listing(command.listing_id, store)
    ref = StreamRef(WISHLISTS, wishlist_of(command.account_id))
    refs: list[StreamRef[Any, Any]] = [
        ref,
        StreamRef(LISTINGS, command.listing_id),
        StreamRef(SELLERS, known.seller_id),
        StreamRef(ACCOUNTS, command.account_id),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Wished]:
        wishlist: Wishlist = loaded[0].state or Wishlist(account_id=command.account_id)
        account: Account | None = loaded[3].state
        if account is None or account.erased:
            # What is added now would not be forgotten any more.
            raise UserNotFoundError("User not found")
        listing = visible(loaded[1].state, loaded[2].state)
        events = wishlist.add(listing.id, now)
        after = WISHLISTS.after(wishlist, events)
        return Proposal(
            outcome=Wished(listing=listing, added_at=after.items[listing.id]), events=[(ref, events)]
        )

    return await store.change_together(refs, decide, metadata)


async def remove_from_wishlist(
    command: RemoveFromWishlist, metadata: Metadata, *, store: EventStore
) -> Changed[Wishlist]:
    """Possible also while the product cannot be seen."""
    return await store.change(
        WISHLISTS,
        wishlist_of(command.account_id),
        lambda wishlist: (wishlist or Wishlist(account_id=command.account_id)).remove(command.listing_id),
        metadata,
    )
