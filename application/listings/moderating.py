"""What admins do with listings that are not theirs: taking them out of sight, and marking them."""

from __future__ import annotations

import msgspec

from application.listings.changing import known
from application.ports import Changed, EventStore, Metadata
from domain.kernel import ListingId
from domain.listings.listing import LISTINGS, Listing


class HideListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    reason: str = ""


class UnhideListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId


class RemoveListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    reason: str = ""


class FlagListing(msgspec.Struct, frozen=True, kw_only=True):
    """``flags`` are all that it has from now on."""

    listing_id: ListingId
    flags: tuple[str, ...]
    note: str = ""


async def hide_listing(command: HideListing, metadata: Metadata, *, store: EventStore) -> Changed[Listing]:
    return await store.change(
        LISTINGS, command.listing_id, lambda listing: known(listing).hide(command.reason), metadata
    )


async def unhide_listing(
    command: UnhideListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    return await store.change(LISTINGS, command.listing_id, lambda listing: known(listing).unhide(), metadata)


async def remove_listing(
    command: RemoveListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    return await store.change(
        LISTINGS, command.listing_id, lambda listing: known(listing).remove(command.reason), metadata
    )


async def flag_listing(command: FlagListing, metadata: Metadata, *, store: EventStore) -> Changed[Listing]:
    return await store.change(
        LISTINGS,
        command.listing_id,
        lambda listing: known(listing).flag(command.flags, command.note),
        metadata,
    )
