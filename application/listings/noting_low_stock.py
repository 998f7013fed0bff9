"""Telling sellers of what there are but few left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.ports import Changed, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.kernel import ListingId, SellerId
from domain.listings.listing import LISTINGS
from domain.listings.low_stock import low_stock_of
from domain.sellers.seller import SELLERS, Seller


class NoteLowStock(msgspec.Struct, frozen=True, kw_only=True):
    """By whoever looks at the stock: all listings are this seller's, who is told of them together."""

    seller_id: SellerId
    listing_ids: tuple[ListingId, ...]
    threshold: int


async def note_low_stock(
    command: NoteLowStock, metadata: Metadata, *, store: EventStore
) -> Changed[tuple[ListingId, ...]]:
    """Which of them were noted. Whoever asks may be behind: whether one is low is the listing's to say.

    Nobody is told of what a seller offers who may not sell for now, or is gone.
    """
    listing_refs = [StreamRef(LISTINGS, listing_id) for listing_id in command.listing_ids]
    refs: list[StreamRef[Any, Any]] = [StreamRef(SELLERS, command.seller_id), *listing_refs]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[tuple[ListingId, ...]]:
        seller: Seller | None = loaded[0].state
        if seller is not None and not seller.sells:
            return Proposal(outcome=(), events=[])
        account_id = None if seller is None else seller.account_id
        listings = [each.state for each in loaded[1:] if each.state is not None]
        theirs = [listing for listing in listings if listing.seller_id == command.seller_id]
        noted = low_stock_of(theirs, command.threshold, account_id)
        return Proposal(
            outcome=tuple(noted),
            events=[(StreamRef(LISTINGS, listing_id), events) for listing_id, events in noted.items()],
        )

    return await store.change_together(refs, decide, metadata)
