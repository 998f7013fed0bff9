"""Listings as we remember them, for what never changes of them."""

from __future__ import annotations

from application.ports import EventStore, StreamRef
from domain.kernel import ListingId
from domain.listings.listing import LISTINGS, Listing, ProductNotFoundError


async def known_listing(listing_id: ListingId, store: EventStore) -> Listing:
    """Whose it is, and what it is called by: mostly without asking the log. Not whether it can be seen."""
    ref = StreamRef(LISTINGS, listing_id)
    (glanced,) = await store.glance([ref])
    listing: Listing | None = glanced.state
    if listing is None:
        # That it is not there would be final, and it may have come to be just now.
        listing = (await store.load(LISTINGS, listing_id)).state
    if listing is None:
        raise ProductNotFoundError("Product not found")
    return listing
