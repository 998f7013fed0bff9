"""An uploaded file: announced, sent, made into pictures, shown by a listing, and gone when nothing wants it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from domain.kernel import (
    AccountId,
    AlreadyExistsError,
    Decider,
    ForbiddenError,
    InvalidInputError,
    ListingId,
    MediaId,
    NotFoundError,
    RuleViolatedError,
    StillReferencedError,
)
from domain.listings.events import ListingMedia
from domain.media.events import (
    MediaAttached,
    MediaDeleted,
    MediaDetached,
    MediaEvent,
    MediaExpired,
    MediaProcessed,
    MediaProcessingFailed,
    MediaPurpose,
    MediaUploaded,
    MediaUploadRequested,
    Variant,
)

_SHOWN_ANYWHERE: Final = ("image/jpeg", "image/png", "image/webp")

TYPES: Final[Mapping[MediaPurpose, tuple[str, ...]]] = {
    MediaPurpose.PRODUCT: ("image/jpeg", "image/png", "image/heic", "image/webp"),
    MediaPurpose.AVATAR: _SHOWN_ANYWHERE,
    MediaPurpose.LOGO: _SHOWN_ANYWHERE,
    MediaPurpose.CMS: _SHOWN_ANYWHERE,
}
"""What a file may be, by what it is for (C40)."""

SIDES: Final = (("thumbnail", 256), ("small", 640), ("large", 1280), ("full", 2048))
"""The sizes that a picture is shown in: how long its longer side is at most. ``full`` is made of every picture."""

MOST_OPEN: Final = 60
"""Uploads of one account that nothing uses yet: five listings full of pictures."""

SENT_WITHIN: Final = timedelta(hours=24)
USED_WITHIN: Final = timedelta(days=7)


class MediaNotFoundError(NotFoundError):
    """There is no such file, or it is somebody else's."""

    code = "MEDIA_NOT_FOUND"


class MediaAlreadyCompletedError(AlreadyExistsError):
    code = "MEDIA_ALREADY_COMPLETED"


class MediaInUseError(StillReferencedError):
    """A listing shows it."""

    code = "MEDIA_IN_USE"


class MediaNotUsableError(RuleViolatedError):
    """It was not sent yet, is no picture, or was sent to be something else."""

    code = "MEDIA_NOT_USABLE"


class MediaStatus(StrEnum):
    """C-16, as its owner reads it; whether a listing shows it stands beside."""

    REQUESTED = "requested"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class SentFile(msgspec.Struct, frozen=True, kw_only=True):
    """What was found where the upload was to go; ``kind`` is the type that its first bytes tell of, if any."""

    mime_type: str
    size: int
    kind: str
    checksum: str


class Media(msgspec.Struct, frozen=True, kw_only=True):
    """``idle_since`` is when it was last done with; ``variants`` are what everybody may see, the smallest first.

    ``width`` and ``height`` are what the sender says, until it has been processed.
    """

    id: MediaId
    owner_id: AccountId
    key: str
    mime_type: str
    size: int
    purpose: MediaPurpose
    status: MediaStatus
    requested_at: datetime
    idle_since: datetime
    width: int = 0
    height: int = 0
    variants: tuple[Variant, ...] = ()
    reason: str = ""
    listing_id: ListingId | None = None
    gone: bool = False

    @property
    def due_at(self) -> datetime | None:
        """When it goes unless something uses it; what is in use never does."""
        if self.listing_id is not None:
            return None
        wait = SENT_WITHIN if self.status is MediaStatus.REQUESTED else USED_WITHIN
        return self.idle_since + wait

    @property
    def shown_below(self) -> str:
        """What the keys of its variants begin with."""
        return f"{pictures_of(self.owner_id)}{self.id}/"

    def shown_as(self, name: str) -> str:
        """The key of a variant, known before there is one: to make it twice comes to the same."""
        return f"{self.shown_below}{name}.webp"

    @property
    def main_key(self) -> str:
        """The key of the largest picture that there is of it, or will be."""
        return self.variants[-1].key if self.variants else self.shown_as(SIDES[-1][0])

    @property
    def thumbnail_key(self) -> str:
        return self.variants[0].key if self.variants else self.shown_as(SIDES[0][0])

    @property
    def for_listing(self) -> ListingMedia:
        return ListingMedia(
            media_id=self.id,
            mime_type=self.mime_type,
            size=self.size,
            width=self.width,
            height=self.height,
            variants=self.variants,
        )

    @classmethod
    def request(
        cls,
        media_id: MediaId,
        owner_id: AccountId,
        *,
        mime_type: str,
        size: int,
        purpose: MediaPurpose,
        most: int,
        at: datetime,
    ) -> list[MediaEvent]:
        """Announce a file of at most ``most`` bytes."""
        faults: dict[str, list[str]] = {}
        if mime_type not in TYPES[purpose]:
            faults["mimeType"] = [f"Must be one of {', '.join(TYPES[purpose])}"]
        if not 1 <= size <= most:
            faults["sizeBytes"] = [f"Must be at most {most}" if size > most else "Must be at least 1"]
        if faults:
            raise InvalidInputError(faults)
        return [
            MediaUploadRequested(
                media_id=media_id,
                owner_id=owner_id,
                key=upload_key(owner_id, media_id),
                mime_type=mime_type,
                size=size,
                purpose=purpose,
                requested_at=at,
            )
        ]

    def require_owned_by(self, account_id: AccountId) -> None:
        if self.owner_id != account_id:
            raise ForbiddenError("This was uploaded by somebody else")

    def require_completable(self) -> None:
        if self.status is not MediaStatus.REQUESTED:
            raise MediaAlreadyCompletedError("The upload has been completed")

    def complete(self, sent: SentFile, *, width: int, height: int, at: datetime) -> list[MediaEvent]:
        """Take the file that was sent, if it is what was announced."""
        self.require_completable()
        faults: dict[str, list[str]] = {}
        if sent.size != self.size:
            faults["sizeBytes"] = [f"{self.size} bytes were announced, and {sent.size} were sent"]
        if sent.mime_type != self.mime_type:
            faults["mimeType"] = [f"It was announced as {self.mime_type}, and sent as {sent.mime_type}"]
        elif sent.kind != self.mime_type:
            faults["mimeType"] = [f"The file is no {self.mime_type}"]
        if faults:
            raise InvalidInputError(faults)
        return [
            MediaUploaded(
                media_id=self.id,
                owner_id=self.owner_id,
                key=self.key,
                mime_type=self.mime_type,
                size=self.size,
                checksum=sent.checksum,
                width=width,
                height=height,
                uploaded_at=at,
            )
        ]

    def process(self, *, width: int, height: int, variants: tuple[Variant, ...]) -> list[MediaEvent]:
        """It can be shown. Nothing if that is known, or nobody wants it any more."""
        if self.gone or self.status is not MediaStatus.PROCESSING:
            return []
        return [
            MediaProcessed(
                media_id=self.id, owner_id=self.owner_id, width=width, height=height, variants=variants
            )
        ]

    def fail(self, reason: str) -> list[MediaEvent]:
        if self.gone or self.status is not MediaStatus.PROCESSING:
            return []
        return [MediaProcessingFailed(media_id=self.id, owner_id=self.owner_id, reason=reason)]

    def attach(self, listing_id: ListingId) -> list[MediaEvent]:
        """A listing shows it: that one, and no other."""
        if self.listing_id == listing_id:
            return []
        if self.listing_id is not None:
            raise MediaInUseError("Another listing shows it", details={"mediaId": str(self.id)})
        return [MediaAttached(media_id=self.id, owner_id=self.owner_id, listing_id=listing_id)]

    def detach(self, listing_id: ListingId, at: datetime) -> list[MediaEvent]:
        if self.listing_id != listing_id:
            return []
        return [
            MediaDetached(media_id=self.id, owner_id=self.owner_id, listing_id=listing_id, detached_at=at)
        ]

    def expire(self, at: datetime) -> list[MediaEvent]:
        """Nothing unless it was waited for in vain: it may be used since somebody looked."""
        if self.gone or self.due_at is None or at < self.due_at:
            return []
        return [MediaExpired(media_id=self.id, owner_id=self.owner_id)]

    def delete(self) -> list[MediaEvent]:
        if self.gone:
            return []
        if self.listing_id is not None:
            raise MediaInUseError("A listing shows it: take it off there first")
        return [MediaDeleted(media_id=self.id, owner_id=self.owner_id)]

    def forget(self) -> list[MediaEvent]:
        """Its owner was erased: whatever shows it shows nothing any more."""
        return [] if self.gone else [MediaDeleted(media_id=self.id, owner_id=self.owner_id)]

    @classmethod
    def evolve(cls, media: Media | None, event: MediaEvent) -> Media:
        if isinstance(event, MediaUploadRequested):
            return cls(
                id=event.media_id,
                owner_id=event.owner_id,
                key=event.key,
                mime_type=event.mime_type,
                size=event.size,
                purpose=event.purpose,
                status=MediaStatus.REQUESTED,
                requested_at=event.requested_at,
                idle_since=event.requested_at,
            )
        assert media is not None, "a file's first event is MediaUploadRequested"
        match event:
            case MediaUploaded():
                return replace(
                    media,
                    status=MediaStatus.PROCESSING,
                    idle_since=event.uploaded_at,
                    width=event.width,
                    height=event.height,
                )
            case MediaProcessed():
                return replace(
                    media,
                    status=MediaStatus.READY,
                    width=event.width,
                    height=event.height,
                    variants=event.variants,
                )
            case MediaProcessingFailed(reason=reason):
                return replace(media, status=MediaStatus.FAILED, reason=reason)
            case MediaAttached(listing_id=listing_id):
                return replace(media, listing_id=listing_id)
            case MediaDetached():
                return replace(media, listing_id=None, idle_since=event.detached_at)
            case MediaExpired() | MediaDeleted():
                return replace(media, gone=True)
            case _:
                assert_never(event)


def uploads_of(account_id: AccountId) -> str:
    """What the keys of files begin with that a person sent, and that nobody else ever reads."""
    return f"uploads/{account_id}/"


def pictures_of(account_id: AccountId) -> str:
    """The same of the pictures that were made of them, for everybody."""
    return f"media/{account_id}/"


def upload_key(account_id: AccountId, media_id: MediaId) -> str:
    return f"{uploads_of(account_id)}{media_id}"


def known(media: Media | None) -> Media:
    """Whatever became of it."""
    if media is None:
        raise MediaNotFoundError("Media not found")
    return media


def found(media: Media | None) -> Media:
    media = known(media)
    if media.gone:
        raise MediaNotFoundError("Media not found")
    return media


MEDIA: Decider[Media, MediaEvent] = Decider("media", Media.evolve)
