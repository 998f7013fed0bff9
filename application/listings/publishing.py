"""Bringing listings into the catalogue and out of it, and how long they stay there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from application.categories.creating import THE_TREE
from application.listings.changing import editable
from application.listings.filing import is_open, schema_of
from application.listings.glancing import known_listing
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.events import Caller
from domain.categories.tree import CategoryTree
from domain.kernel import ListingId
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing, expiry_of
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, Seller, require_selling


class PublishListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller


class UnpublishListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller


class RenewListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller


class ExpireListing(msgspec.Struct, frozen=True, kw_only=True):
    """By whoever looks at the clock."""

    listing_id: ListingId


async def publish_listing(
    command: PublishListing, metadata: Metadata, *, store: EventStore, clock: Clock, lifetime: timedelta
) -> Changed[Listing]:
    """Until ``lifetime`` is over, where a person offers it; what the house and shops offer stays (A25)."""

    def decide(
        listing: Listing, tree: CategoryTree | None, expires_at: datetime | None
    ) -> list[ListingEvent]:
        return listing.publish(
            schema=schema_of(listing.category_id, tree),
            category_open=is_open(listing.category_id, tree),
            expires_at=expires_at,
        )

    return await _into_the_catalogue(
        command, decide, metadata, store=store, now=clock.now(), lifetime=lifetime
    )


async def renew_listing(
    command: RenewListing, metadata: Metadata, *, store: EventStore, clock: Clock, lifetime: timedelta
) -> Changed[Listing]:
    """For another ``lifetime`` from now on; what stays for ever is as it was."""

    def decide(
        listing: Listing, tree: CategoryTree | None, expires_at: datetime | None
    ) -> list[ListingEvent]:
        return listing.renew(
            expires_at,
            schema=schema_of(listing.category_id, tree),
            category_open=is_open(listing.category_id, tree),
        )

    return await _into_the_catalogue(
        command, decide, metadata, store=store, now=clock.now(), lifetime=lifetime
    )


async def unpublish_listing(
    command: UnpublishListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    return await store.change(
        LISTINGS, command.listing_id, lambda listing: editable(listing, command.caller).unpublish(), metadata
    )


async def expire_listing(
    command: ExpireListing, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Listing]:
    """Whoever asks may be behind: whether its time is over is the listing's to say."""

    def decide(listing: Listing | None) -> list[ListingEvent]:
        return [] if listing is None else listing.expire(clock.now())

    return await store.change(LISTINGS, command.listing_id, decide, metadata)


async def _into_the_catalogue(
    command: PublishListing | RenewListing,
    decide: Callable[[Listing, CategoryTree | None, datetime | None], list[ListingEvent]],
    metadata: Metadata,
    *,
    store: EventStore,
    now: datetime,
    lifetime: timedelta,
) -> Changed[Listing]:
    caller = command.caller
    # Whose it is never changes, and if it is not the caller's there is nothing to decide.
    seller_id = (
        (await known_listing(command.listing_id, store)).seller_id
        if caller.is_admin
        else seller_of(caller.account_id)
    )
    ref = StreamRef(LISTINGS, command.listing_id)
    refs: list[StreamRef[Any, Any]] = [ref, THE_TREE, StreamRef(SELLERS, seller_id)]

    def propose(loaded: Sequence[Loaded[Any]]) -> Proposal[Listing]:
        listing = editable(loaded[0].state, caller)
        seller: Seller | None = loaded[2].state
        if not caller.is_admin:
            # An admin may publish anybody's: nothing of a suspended seller is seen for it.
            require_selling(seller)
        expires_at = expiry_of(None if seller is None else seller.kind, now, lifetime)
        events = decide(listing, loaded[1].state, expires_at)
        return Proposal(outcome=LISTINGS.after(listing, events), events=[(ref, events)])

    return await store.change_together(refs, propose, metadata)
