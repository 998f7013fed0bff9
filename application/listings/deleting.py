"""Deleting listings, and bringing them back."""

from __future__ import annotations

import msgspec

from application.listings.changing import known
from application.ports import Changed, Clock, EventStore, Metadata
from domain.accounts.events import Caller
from domain.kernel import ListingId
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing


class DeleteListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller
    reason: str = ""


class RestoreListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId


async def delete_listing(
    command: DeleteListing, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Listing]:
    """It can come back, so it stays in its categories and collections, where nobody sees it, and keeps its slugs."""

    def decide(listing: Listing | None) -> list[ListingEvent]:
        found = known(listing)
        found.require_there_for(command.caller)
        return found.delete(clock.now(), command.reason)

    return await store.change(LISTINGS, command.listing_id, decide, metadata)


async def restore_listing(
    command: RestoreListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    return await store.change(
        LISTINGS, command.listing_id, lambda listing: known(listing).restore(), metadata
    )
