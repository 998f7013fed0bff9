"""Announcing a file, sending it past us to the object storage, and saying that it is there."""

from __future__ import annotations

from typing import Final

import msgspec

from application.media.kinds import BEGINNING, kind_of
from application.ports import Changed, Clock, EventStore, Metadata, ObjectStore
from domain.kernel import AccountId, InvalidInputError, MediaId
from domain.media.events import MediaEvent, MediaPurpose
from domain.media.media import MEDIA, Media, MediaNotFoundError, SentFile, found, known

_MISSING: Final = "Nothing was sent to its address yet"


class RequestUpload(msgspec.Struct, frozen=True, kw_only=True):
    """``media_id`` is a random one that the caller made up."""

    media_id: MediaId
    account_id: AccountId
    mime_type: str
    size: int
    purpose: MediaPurpose = MediaPurpose.PRODUCT


class CompleteUpload(msgspec.Struct, frozen=True, kw_only=True):
    """``key``, where it is given, must be that of the file."""

    media_id: MediaId
    account_id: AccountId
    key: str = ""
    width: int = 0
    height: int = 0


class DeleteMedia(msgspec.Struct, frozen=True, kw_only=True):
    media_id: MediaId
    account_id: AccountId


async def request_upload(
    command: RequestUpload, metadata: Metadata, *, store: EventStore, clock: Clock, most: int
) -> Changed[Media]:
    """``most`` is how many bytes a file may have."""
    return await store.change(
        MEDIA,
        command.media_id,
        lambda _: Media.request(
            command.media_id,
            command.account_id,
            mime_type=command.mime_type,
            size=command.size,
            purpose=command.purpose,
            most=most,
            at=clock.now(),
        ),
        metadata,
    )


async def complete_upload(
    command: CompleteUpload, metadata: Metadata, *, store: EventStore, objects: ObjectStore, clock: Clock
) -> Changed[Media]:
    """What was sent is looked at before it is taken: how large it is, and what its first bytes tell."""
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    media = _own((await store.load(MEDIA, command.media_id)).state, command.account_id, command.key)
    media.require_completable()
    try:
        stored = await objects.look(media.key, first=BEGINNING)
    except MediaNotFoundError as missing:
        raise InvalidInputError({"key": [_MISSING]}) from missing
    sent = SentFile(
        mime_type=stored.content_type,
        size=stored.size,
        kind=kind_of(stored.beginning),
        checksum=stored.checksum,
    )
    return await store.change(
        MEDIA,
        command.media_id,
        lambda now: _own(now, command.account_id, command.key).complete(
            sent, width=command.width, height=command.height, at=clock.now()
        ),
        metadata,
    )


async def delete_media(command: DeleteMedia, metadata: Metadata, *, store: EventStore) -> Changed[Media]:
    """To ask for this twice changes nothing. What was stored of it goes in answer to the event."""

    def decide(media: Media | None) -> list[MediaEvent]:
        media = known(media)
        media.require_owned_by(command.account_id)
        return media.delete()

    return await store.change(MEDIA, command.media_id, decide, metadata)


def _own(media: Media | None, account_id: AccountId, key: str) -> Media:
    media = found(media)
    if key and media.key != key:
        raise MediaNotFoundError("Media not found")
    media.require_owned_by(account_id)
    return media
