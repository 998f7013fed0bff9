"""Questions to the inventory: of what there are but few left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from domain.kernel import ListingId, SellerId
from domain.listings.listing import Listing
from projections.inventory.projector import Stocked
from projections.keyset import Piece, Question, Sorting, Values, batch_of
from projections.ports import Reads

_decode: Final = msgspec.json.Decoder(Stocked).decode


class LowStock(msgspec.Struct, frozen=True):
    """A listing of which there are but few."""

    available: int
    number: int
    listing_id: ListingId
    seller_id: SellerId


class InventoryPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    listings: Sequence[Listing]
    last: Values | None = None


async def inventory_page(reads: Reads, threshold: int, piece: Piece) -> InventoryPage:
    """What can be bought and of which there are ``threshold`` units at most that nobody has ordered; scarcest first."""
    question = Question(
        columns="document", source="inventory", where="offered AND available <= %s", parameters=(threshold,)
    )
    found = await question.ask(reads, Sorting(by=("available", "number")), piece)
    return InventoryPage(
        total=found.total, listings=[_decode(document).listing for (document,) in found.rows], last=found.last
    )


async def low_stock_untold(
    reads: Reads, threshold: int, after: LowStock | None, limit: int
) -> Sequence[LowStock]:
    """Those whose sellers do not know yet, the scarcest first, from the one behind ``after`` on."""
    rows = await batch_of(
        reads,
        "SELECT available, number, key, seller_id FROM inventory WHERE offered AND available <= %s AND NOT told",
        [threshold],
        by=("available", "number"),
        after=None if after is None else (after.available, after.number),
        most=limit,
    )
    return [
        LowStock(available, number, ListingId(key), SellerId(seller_id))
        for available, number, key, seller_id in rows
    ]
