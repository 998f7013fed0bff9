"""Questions to the list of uploads, and what one looks like on the wire."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.listings.listing import Listing
from domain.media.media import Media, MediaStatus
from projections.ports import Reads
from projections.wire import time

PublicUrl = Callable[[str], str]
"""Where everybody finds a public file by its key."""

_decode: Final = msgspec.json.Decoder(Media).decode


async def media_by_id(reads: Reads, media_id: UUID) -> Media | None:
    row = await reads.one("SELECT document FROM media WHERE key = %s", media_id)
    return None if row is None else _decode(row[0])


async def media_of(reads: Reads, owner_id: UUID) -> list[Media]:
    """All that somebody has uploaded and that is still there, in the order in which they asked for it."""
    rows = await reads.all("SELECT document FROM media WHERE owner_id = %s", owner_id)
    return sorted((_decode(document) for (document,) in rows), key=lambda media: media.requested_at)


async def open_uploads(reads: Reads, owner_id: UUID, most: int) -> int:
    """How many uploads of somebody are used by nothing yet, counted no further than to ``most``."""
    row = await reads.one(
        "SELECT count(*) FROM "
        "(SELECT 1 FROM media WHERE owner_id = %s AND due_at IS NOT NULL LIMIT %s) AS counted",
        owner_id,
        most,
    )
    assert row is not None
    count: int = row[0]
    return count


async def media_due(reads: Reads, now: datetime, limit: int) -> list[UUID]:
    """Those that were waited for in vain, the longest first."""
    statement = "SELECT key FROM media WHERE due_at <= %s ORDER BY due_at LIMIT %s"
    return [key for (key,) in await reads.all(statement, now, limit)]


def media_body(media: Media, public_url: PublicUrl) -> dict[str, Any]:
    """A file as its owner reads it. ``url`` is where the picture will be, also before it is there."""
    shows = media.status is not MediaStatus.FAILED
    return {
        "id": str(media.id),
        "key": media.key,
        "mimeType": media.mime_type,
        "sizeBytes": media.size,
        "width": media.width or None,
        "height": media.height or None,
        "url": public_url(media.main_key) if shows else "",
        "thumbnailUrl": public_url(media.thumbnail_key) if shows else "",
        "status": media.status,
        "purpose": media.purpose,
        "reason": media.reason,
        "variants": [
            {
                "name": variant.name,
                "url": public_url(variant.key),
                "mimeType": variant.mime_type,
                "sizeBytes": variant.size,
                "width": variant.width,
                "height": variant.height,
            }
            for variant in media.variants
        ],
        "attached": media.listing_id is not None,
        "createdAt": time(media.requested_at),
    }


def shown_body(listing: Listing, media: Media, public_url: PublicUrl) -> dict[str, Any]:
    """A picture as one of a listing's images. It has the file's own id: a file is shown by one listing only."""
    place = next(index for index, shown in enumerate(listing.media) if shown.media_id == media.id)
    return {
        "id": str(media.id),
        "mediaId": str(media.id),
        "listingId": listing.number,
        "key": media.key,
        "orderIndex": place,
        "url": public_url(media.main_key),
        "thumbnailUrl": public_url(media.thumbnail_key),
    }
