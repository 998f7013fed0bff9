"""Telling sellers that there are but few left: once, of several listings together, until there are more again."""

from __future__ import annotations

from collections.abc import Sequence

from domain.kernel import AccountId, ListingId
from domain.listings.events import ListingEvent, LowStockReached
from domain.listings.listing import Listing


def low_stock_of(
    listings: Sequence[Listing], threshold: int, account_id: AccountId | None
) -> dict[ListingId, list[ListingEvent]]:
    """Of one seller's ``listings`` those that have come down to ``threshold`` units, the scarcest first."""
    low = [listing for listing in listings if listing.is_untold_low_stock(threshold)]
    low.sort(key=lambda listing: (listing.available, listing.number))
    first = low[0] if low else None
    return {
        listing.id: [
            LowStockReached(
                listing_id=listing.id,
                seller_id=listing.seller_id,
                account_id=account_id,
                available=listing.available,
                threshold=threshold,
                others=tuple(each.id for each in low[1:]) if listing is first else (),
                told_with=None if first is None or listing is first else first.id,
            )
        ]
        for listing in low
    }
