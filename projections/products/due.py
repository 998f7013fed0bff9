"""Which listings have been in the catalogue for as long as they may."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.kernel import ListingId
from projections.ports import Reads

_DUE = "FROM products WHERE status = 'active' AND NOT deleted AND expires_at <= %s"


class Due(msgspec.Struct, frozen=True):
    """A listing, and since when it should have been out of the catalogue."""

    since: datetime
    listing_id: ListingId


async def listings_due(reads: Reads, now: datetime, after: Due | None, limit: int) -> Sequence[Due]:
    """Those whose time is over, the longest first, from the one behind ``after`` on."""
    behind = ""
    parameters: list[Any] = [now]
    if after is not None:
        behind = " AND (expires_at, key) > (%s, %s)"
        parameters += [after.since, after.listing_id]
    statement = f"SELECT expires_at, key {_DUE}{behind} ORDER BY expires_at, key LIMIT %s"
    return [Due(since, ListingId(key)) for since, key in await reads.all(statement, *parameters, limit)]
