"""What can happen to an uploaded file."""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from domain.kernel import AccountId, Event, ListingId, MediaId


class MediaPurpose(StrEnum):
    """C-16. What a file is for says which types it may be of (C40)."""

    PRODUCT = "product"
    AVATAR = "avatar"
    LOGO = "logo"
    CMS = "cms"


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as it is shown in one size: ``name`` is ``thumbnail``, ``small``, ``large``, … ; ``size`` in bytes."""

    name: str
    key: str
    mime_type: str
    width: int
    height: int
    size: int


class MediaUploadRequested(Event, frozen=True, kw_only=True, tag="media_upload_requested"):
    """Somebody was given an address that takes one file, of this type and of this many bytes."""

    media_id: MediaId
    owner_id: AccountId
    key: str
    mime_type: str
    size: int
    purpose: MediaPurpose = MediaPurpose.PRODUCT
    requested_at: datetime


class MediaUploaded(Event, frozen=True, kw_only=True, tag="media_uploaded"):
    """The file is there and is what was announced. ``width`` and ``height`` are what its sender says of it."""

    media_id: MediaId
    owner_id: AccountId
    key: str
    mime_type: str
    size: int
    checksum: str = ""
    width: int = 0
    height: int = 0
    uploaded_at: datetime


class MediaProcessed(Event, frozen=True, kw_only=True, tag="media_processed"):
    """It is a picture, this large, and can be shown in these sizes. What was sent is never shown itself."""

    media_id: MediaId
    owner_id: AccountId
    width: int
    height: int
    variants: tuple[Variant, ...]


class MediaProcessingFailed(Event, frozen=True, kw_only=True, tag="media_processing_failed"):
    """It is no picture that we could show; ``reason`` says why in words for its owner."""

    media_id: MediaId
    owner_id: AccountId
    reason: str


class MediaAttached(Event, frozen=True, kw_only=True, tag="media_attached"):
    """A listing shows it from now on; recorded with the listing's own event."""

    media_id: MediaId
    owner_id: AccountId
    listing_id: ListingId


class MediaDetached(Event, frozen=True, kw_only=True, tag="media_detached"):
    media_id: MediaId
    owner_id: AccountId
    listing_id: ListingId
    detached_at: datetime


class MediaExpired(Event, frozen=True, kw_only=True, tag="media_expired"):
    """It was announced and never sent, or sent and never used."""

    media_id: MediaId
    owner_id: AccountId


class MediaDeleted(Event, frozen=True, kw_only=True, tag="media_deleted"):
    media_id: MediaId
    owner_id: AccountId


MediaEvent: TypeAlias = (
    MediaUploadRequested
    | MediaUploaded
    | MediaProcessed
    | MediaProcessingFailed
    | MediaAttached
    | MediaDetached
    | MediaExpired
    | MediaDeleted
)
