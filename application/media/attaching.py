"""Showing uploaded pictures in listings: which, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.listings.changing import editable
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.events import Caller
from domain.illustrating import attach, detach
from domain.kernel import ListingId, MediaId
from domain.listings.listing import LISTINGS, Listing
from domain.media.media import MEDIA, Media, found


class AttachMedia(msgspec.Struct, frozen=True, kw_only=True):
    """``index`` is the place of the first of them; without one they stand behind all that are there."""

    listing_id: ListingId
    caller: Caller
    media_ids: tuple[MediaId, ...]
    index: int | None = None


class ReorderMedia(msgspec.Struct, frozen=True, kw_only=True):
    """``media_ids`` are all that the listing shows, in their new order."""

    listing_id: ListingId
    caller: Caller
    media_ids: tuple[MediaId, ...]


class DetachMedia(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    caller: Caller
    media_id: MediaId


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A listing, and those of its pictures that were asked about."""

    listing: Listing
    media: tuple[Media, ...] = ()


async def attach_media(command: AttachMedia, metadata: Metadata, *, store: EventStore) -> Changed[Shown]:
    refs = _refs(command.listing_id, command.media_ids)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Shown]:
        listing = editable(loaded[0].state, command.caller)
        wanted = [each.state for each in loaded[1:]]
        decided = attach(listing, wanted, command.caller, index=command.index)
        events = zip(refs, (decided.listing_events, *decided.media_events), strict=True)
        shown = Shown(listing=decided.listing, media=tuple(found(each) for each in wanted))
        return Proposal(outcome=shown, events=list(events))

    return await store.change_together(refs, decide, metadata)


async def reorder_media(command: ReorderMedia, metadata: Metadata, *, store: EventStore) -> Changed[Shown]:
    refs = _refs(command.listing_id, command.media_ids)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Shown]:
        listing = editable(loaded[0].state, command.caller)
        events = listing.reorder_media(command.media_ids)
        after = LISTINGS.after(listing, events)
        shown = Shown(listing=after, media=tuple(each.present for each in loaded[1:]))
        return Proposal(outcome=shown, events=[(refs[0], events)])

    return await store.change_together(refs, decide, metadata)


async def detach_media(
    command: DetachMedia, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Shown]:
    refs = _refs(command.listing_id, (command.media_id,))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Shown]:
        listing = editable(loaded[0].state, command.caller)
        decided = detach(listing, command.media_id, loaded[1].state, clock.now())
        events = zip(refs, (decided.listing_events, *decided.media_events), strict=True)
        return Proposal(outcome=Shown(listing=decided.listing), events=list(events))

    return await store.change_together(refs, decide, metadata)


def _refs(listing_id: ListingId, media_ids: Sequence[MediaId]) -> list[StreamRef[Any, Any]]:
    return [StreamRef(LISTINGS, listing_id), *(StreamRef(MEDIA, media_id) for media_id in media_ids)]
