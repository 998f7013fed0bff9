"""Showing uploaded pictures in a listing: one decision over the listing and each of the files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.accounts.events import Caller
from domain.kernel import MediaId
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing
from domain.media.events import MediaEvent, MediaPurpose
from domain.media.media import Media, MediaNotFoundError, MediaNotUsableError, MediaStatus, found


class Illustrated(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of the listing, and of each of the files in the order in which they were given."""

    listing: Listing
    listing_events: Sequence[ListingEvent]
    media_events: Sequence[Sequence[MediaEvent]]


def attachable(media: Media | None, caller: Caller) -> Media:
    """A file that the caller may show in a listing: their own, sent to be shown there, and not known to be no picture.

    Whether another listing shows it, ``Media.attach`` says.
    """
    media = found(media)
    media.require_owned_by(caller.account_id)
    if media.purpose is not MediaPurpose.PRODUCT:
        raise _unusable(media, f"was sent for another purpose: {media.purpose}")
    if media.status is MediaStatus.REQUESTED:
        raise _unusable(media, "has not been completed")
    if media.status is MediaStatus.FAILED:
        raise _unusable(media, f"cannot be shown: {media.reason}")
    return media


def attach(
    listing: Listing, wanted: Sequence[Media | None], caller: Caller, *, index: int | None = None
) -> Illustrated:
    """Show the files one behind the other, from place ``index`` on or behind all that are there.

    Whether the caller may edit the listing was asked before; one that comes to be in the same decision is theirs.
    """
    listing_events: list[ListingEvent] = []
    media_events: list[list[MediaEvent]] = []
    named: set[MediaId] = set()
    for number, each in enumerate(wanted):
        media = attachable(each, caller)
        media_events.append([] if media.id in named else media.attach(listing.id))
        named.add(media.id)
        shown = listing.attach_media(media.for_listing, None if index is None else index + number)
        listing = _after(listing, shown)
        listing_events += shown
    return Illustrated(listing=listing, listing_events=listing_events, media_events=media_events)


def detach(listing: Listing, media_id: MediaId, media: Media | None, at: datetime) -> Illustrated:
    """Show it no longer, whoever it belongs to: an admin may take it off, too."""
    hidden = listing.detach_media(media_id)
    if not hidden:
        raise MediaNotFoundError("The listing does not show this")
    released = [] if media is None else media.detach(listing.id, at)
    return Illustrated(listing=_after(listing, hidden), listing_events=hidden, media_events=[released])


def withdraw(
    listing: Listing | None, media: Media, reason: str, at: datetime
) -> tuple[list[ListingEvent], list[MediaEvent]]:
    """A file turns out to be no picture: a listing that was to show it does so no longer."""
    failed = media.fail(reason)
    if not failed or listing is None:
        return [], failed
    return listing.detach_media(media.id), [*failed, *media.detach(listing.id, at)]


def _after(listing: Listing, events: Sequence[ListingEvent]) -> Listing:
    return LISTINGS.after(listing, events)


def _unusable(media: Media, fault: str) -> MediaNotUsableError:
    return MediaNotUsableError(
        "This file cannot be shown in a listing", details={"mediaIds": [f"{media.id} {fault}"]}
    )
