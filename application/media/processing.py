"""Making the pictures that everybody sees of a file that somebody sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from application.accounts.avatars import FOR_EVER
from application.errors import ConcurrentChangeError, InvalidImageError
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Images,
    Loaded,
    Metadata,
    ObjectStore,
    Proposal,
    Renditions,
    StreamRef,
)
from domain.accounts.account import ACCOUNTS, Account
from domain.illustrating import withdraw
from domain.kernel import Event, MediaId
from domain.listings.listing import LISTINGS
from domain.media.events import MediaEvent, Variant
from domain.media.media import MEDIA, SIDES, Media, MediaNotFoundError, MediaStatus

SHOWN_TYPE: Final = "image/webp"


class ProcessMedia(msgspec.Struct, frozen=True, kw_only=True):
    media_id: MediaId


class DropMediaFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing is kept of what is gone."""

    media_id: MediaId


async def process_media(
    command: ProcessMedia,
    metadata: Metadata,
    *,
    store: EventStore,
    objects: ObjectStore,
    images: Images,
    clock: Clock,
    most: int,
) -> Changed[Media]:
    """May die anywhere and be asked again: the pictures have the same names each time, and the event is the last word.

    What was sent is deleted once it is recorded what it was. ``most`` is how many bytes it may have.
    """
    loaded = await store.load(MEDIA, command.media_id)
    media = loaded.present
    if media.gone or media.status is not MediaStatus.PROCESSING:
        # Done before, by somebody who died before tidying up.
        await _tidy(media, objects)
        return Changed(state=media, version=loaded.version)
    try:
        made = await images.renditions(await objects.get(media.key, most=most), media.mime_type, SIDES)
    except MediaNotFoundError:
        changed = await _fail(media, "The file is gone", metadata, store, clock)
    except InvalidImageError as refused:
        changed = await _fail(media, "; ".join(refused.details["image"]), metadata, store, clock)
    else:
        changed = await _show(media, made, metadata, store, objects)
    await _tidy(changed.state, objects)
    return changed


async def drop_media_files(
    command: DropMediaFiles, metadata: Metadata, *, store: EventStore, objects: ObjectStore
) -> Changed[None]:
    media = (await store.load(MEDIA, command.media_id)).state
    if media is not None and media.gone:
        await _tidy(media, objects)
    return Changed(state=None, version=0)


async def _show(
    media: Media, made: Renditions, metadata: Metadata, store: EventStore, objects: ObjectStore
) -> Changed[Media]:
    variants: list[Variant] = []
    for rendition in made.pictures:
        key = media.shown_as(rendition.name)
        await objects.put(key, rendition.content, content_type=SHOWN_TYPE, cache_control=FOR_EVER)
        variants.append(
            Variant(
                name=rendition.name,
                key=key,
                mime_type=SHOWN_TYPE,
                width=rendition.width,
                height=rendition.height,
                size=len(rendition.content),
            )
        )
    refs: list[StreamRef[Any, Any]] = [StreamRef(MEDIA, media.id), StreamRef(ACCOUNTS, media.owner_id)]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Media]:
        now: Media = loaded[0].present
        owner: Account | None = loaded[1].state
        if owner is None or owner.erased:
            # What was made too late to be deleted with all else of theirs must not be what stays.
            events = now.forget()
        else:
            events = now.process(width=made.width, height=made.height, variants=tuple(variants))
        return Proposal(outcome=_after(now, events), events=[(refs[0], events)])

    return await store.change_together(refs, decide, metadata)


async def _fail(
    media: Media, reason: str, metadata: Metadata, store: EventStore, clock: Clock
) -> Changed[Media]:
    """A listing that shows it already is told in the same breath."""
    listing_id = (await store.load(MEDIA, media.id)).present.listing_id
    refs: list[StreamRef[Any, Any]] = [StreamRef(MEDIA, media.id)]
    if listing_id is not None:
        refs.append(StreamRef(LISTINGS, listing_id))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Media]:
        now: Media = loaded[0].present
        if now.listing_id != listing_id:
            raise ConcurrentChangeError("It was taken into a listing, or off one, at the same time")
        listing = loaded[1].state if listing_id is not None else None
        listing_events, events = withdraw(listing, now, reason, clock.now())
        proposed: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            (refs[0], events),
            *((ref, listing_events) for ref in refs[1:]),
        ]
        return Proposal(outcome=_after(now, events), events=proposed)

    return await store.change_together(refs, decide, metadata)


def _after(media: Media, events: Sequence[MediaEvent]) -> Media:
    return MEDIA.after(media, events)


async def _tidy(media: Media, objects: ObjectStore) -> None:
    """Leave of a file no more than what shows it: nothing, of one that is gone or was no picture."""
    await objects.delete_prefix(media.key)
    if media.gone or media.status is MediaStatus.FAILED:
        await objects.delete_prefix(media.shown_below)
