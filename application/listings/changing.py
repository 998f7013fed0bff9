"""Changing listings, publishing them, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec

from application.claims import stream_called
from application.listings.creating import LISTING_SLUG
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.events import Caller
from domain.kernel import ListingId
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing, ProductNotFoundError
from domain.money import Money
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, require_selling


class ChangeListing(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are given change; the others stay (C25)."""

    listing_id: ListingId
    caller: Caller
    title: str | None = None
    description: str | None = None
    brand: str | None = None
    tags: tuple[str, ...] | None = None
    thumbnail: str | None = None
    images: tuple[str, ...] | None = None
    price: Money | None = None
    discount_percentage: Decimal | None = None
    stock: int | None = None


class PublishListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller


class UnpublishListing(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller


async def change_listing(
    command: ChangeListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    def decide(listing: Listing | None) -> list[ListingEvent]:
        found = _editable(listing, command.caller)
        events = found.change_details(
            title=command.title,
            description=command.description,
            brand=command.brand,
            tags=command.tags,
            thumbnail=command.thumbnail,
            images=command.images,
        )
        if command.price is not None:
            events += found.change_price(command.price)
        if command.discount_percentage is not None:
            events += found.change_discount(command.discount_percentage)
        if command.stock is not None:
            events += found.adjust_stock(command.stock)
        return events

    return await store.change(LISTINGS, command.listing_id, decide, metadata)


async def publish_listing(
    command: PublishListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    refs: list[StreamRef[Any, Any]] = [StreamRef(LISTINGS, command.listing_id)]
    if not command.caller.is_admin:
        # An admin may publish anybody's: nothing of a suspended seller is seen for it.
        refs.append(StreamRef(SELLERS, seller_of(command.caller.account_id)))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Listing]:
        listing = _editable(loaded[0].state, command.caller)
        for seller in loaded[1:]:
            require_selling(seller.state)
        events = listing.publish()
        after = LISTINGS.fold(listing, events)
        assert after is not None
        return Proposal(outcome=after, events=[(refs[0], events)])

    return await store.change_together(refs, decide, metadata)


async def unpublish_listing(
    command: UnpublishListing, metadata: Metadata, *, store: EventStore
) -> Changed[Listing]:
    return await store.change(
        LISTINGS, command.listing_id, lambda listing: _editable(listing, command.caller).unpublish(), metadata
    )


async def listing_called(reference: str, store: EventStore, keys: Keys) -> ListingId:
    """The listing that an integer id, a uuid or a slug names. An id or uuid is not looked up: that is the command's."""
    stream = await stream_called(reference, "listing", LISTING_SLUG, store, keys)
    if stream is None:
        raise ProductNotFoundError("Product not found")
    return ListingId(stream)


def _editable(listing: Listing | None, caller: Caller) -> Listing:
    if listing is None:
        raise ProductNotFoundError("Product not found")
    listing.require_editable_by(caller)
    return listing
