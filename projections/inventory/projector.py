"""How the inventory is made of what happens to listings.

It stands beside the catalogue because every sale changes it: in the catalogue an index by stock would make each of
them rewrite the entries of all its other indexes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Uuid, text

from domain.kernel import Recorded
from domain.listings.events import (
    ListingCreated,
    ListingDeleted,
    ListingDetailsChanged,
    ListingExpired,
    ListingHidden,
    ListingPublished,
    ListingRemoved,
    ListingRenewed,
    ListingRestored,
    ListingSold,
    ListingUnhidden,
    ListingUnpublished,
    LowStockReached,
    StockAdjusted,
    StockCommitted,
    StockReservationReleased,
    StockReserved,
    StockRestored,
)
from domain.listings.listing import Listing
from domain.sellers.events import SellerClosed, SellerReinstated, SellerSuspended
from projections.projection import Projection, Rows, read_model

inventory = read_model(
    "inventory",
    Column("number", BigInteger, nullable=False),
    Column("seller_id", Uuid, nullable=False),
    Column("available", Integer, nullable=False),
    Column("offered", Boolean, nullable=False),
    Column("told", Boolean, nullable=False),
    Index("idx_inventory_offered", "available", "number", postgresql_where=text("offered")),
)
"""``offered`` are those that can be bought, and of which there can be many; ``told`` is whether their sellers know."""

INVENTORY_EVENTS = (
    ListingCreated,
    ListingDetailsChanged,
    ListingPublished,
    ListingUnpublished,
    ListingExpired,
    ListingRenewed,
    ListingSold,
    ListingHidden,
    ListingUnhidden,
    ListingRemoved,
    ListingDeleted,
    ListingRestored,
    StockAdjusted,
    StockReserved,
    StockCommitted,
    StockReservationReleased,
    StockRestored,
    LowStockReached,
)


class Stocked(msgspec.Struct, frozen=True, kw_only=True):
    """A listing without what only its readers want to know; ``hidden`` is what its seller's suspension makes it."""

    listing: Listing
    hidden: bool = False

    @property
    def offered(self) -> bool:
        return self.listing.on_sale and not self.listing.unique and not self.hidden


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return (recorded.event.listing_id,)


def _fold(stocked: Stocked | None, recorded: Recorded[Any], _: UUID) -> Stocked | None:
    event = recorded.event
    if isinstance(event, ListingCreated):
        return Stocked(listing=_bare(Listing.evolve(None, event)))
    assert stocked is not None, "a listing begins with ListingCreated"
    if isinstance(event, SellerSuspended | SellerReinstated | SellerClosed):
        return replace(stocked, hidden=not isinstance(event, SellerReinstated))
    return replace(stocked, listing=_bare(Listing.evolve(stocked.listing, event)))


def _bare(listing: Listing) -> Listing:
    return replace(
        listing,
        description="",
        description_short="",
        tags=(),
        thumbnail="",
        images=(),
        attributes={},
        extras={},
        location=None,
        further_category_ids=(),
        moderation_reason="",
        account_id=None,
    )


def _subjects(stocked: Stocked) -> Collection[UUID]:
    return (stocked.listing.seller_id,)


def _row(stocked: Stocked) -> dict[str, Any]:
    listing = stocked.listing
    return {
        "number": listing.number,
        "seller_id": listing.seller_id,
        "available": listing.available,
        "offered": stocked.offered,
        "told": listing.low_from is not None,
    }


INVENTORY = Projection(
    name="inventory",
    version=1,
    events=INVENTORY_EVENTS,
    document=Stocked,
    keys=_keys,
    fold=_fold,
    into=Rows(table=inventory, row=_row),
    subjects=_subjects,
    concerning={
        SellerSuspended: lambda suspended: suspended.seller_id,
        SellerReinstated: lambda reinstated: reinstated.seller_id,
        SellerClosed: lambda closed: closed.seller_id,
    },
)
