"""Which listings have been in the catalogue for as long as they may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.kernel import ListingId
from projections.keyset import batch_of
from projections.ports import Reads


class Due(msgspec.Struct, frozen=True):
    """A listing, and since when it should have been out of the catalogue."""

    since: datetime
    listing_id: ListingId


async def listings_due(reads: Reads, now: datetime, after: Due | None, limit: int) -> Sequence[Due]:
    """Those whose time is over, the longest first, from the one behind ``after`` on."""
    rows = await batch_of(
        reads,
        "SELECT expires_at, key FROM products WHERE status = 'active' AND NOT deleted AND expires_at <= %s",
        [now],
        by=("expires_at", "key"),
        after=None if after is None else (after.since, after.listing_id),
        most=limit,
    )
    return [Due(since, ListingId(key)) for since, key in rows]
