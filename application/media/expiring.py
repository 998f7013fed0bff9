"""Clearing away what was announced and never sent, or sent and never used."""

from __future__ import annotations

import msgspec

from application.ports import Changed, Clock, EventStore, Metadata
from domain.kernel import MediaId
from domain.media.events import MediaEvent
from domain.media.media import MEDIA, Media, known


class ExpireMedia(msgspec.Struct, frozen=True, kw_only=True):
    media_id: MediaId


async def expire_media(
    command: ExpireMedia, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Media]:
    """Whoever asks may be behind: whether it is due is the file's to say."""

    def decide(media: Media | None) -> list[MediaEvent]:
        return known(media).expire(clock.now())

    return await store.change(MEDIA, command.media_id, decide, metadata)
