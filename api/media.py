"""Uploading files past us, and showing them in listings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

from litestar import Controller, Request, delete, get, post, put
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import Meta

from api.authentication import BEARER, caller_of, seller, signed_in
from api.backend import Backend, BackendParts
from api.documentation import answers
from api.input import Body, Faults
from api.models import ListingImage, ListingImages, SignedUpload, UploadedMedia
from api.wire import answer, encode
from application.media.attaching import AttachMedia, DetachMedia, ReorderMedia, Shown
from application.media.uploading import CompleteUpload, DeleteMedia, RequestUpload
from application.slugs import reference_kind
from domain.kernel import InvalidInputError, MediaId
from domain.listings.listing import MOST_MEDIA
from domain.media.events import MediaPurpose
from domain.media.media import MOST_OPEN, Media, MediaNotFoundError, upload_key
from projections.media.query import media_body, media_by_id, open_uploads, shown_body
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

UPLOAD_LIFETIME: Final = timedelta(minutes=15)

_Reference = Annotated[str, Meta(min_length=1, max_length=300)]
_Side = Annotated[int, Meta(ge=1, le=100_000)]
_Type = Annotated[str, Meta(max_length=100, examples=["image/jpeg"])]
_Place = Annotated[int, Meta(ge=0, le=1_000)]


class UploadBody(Body, frozen=True, kw_only=True):
    """``mime`` and ``size`` are short for ``mimeType`` and ``sizeBytes``."""

    mime_type: _Type | None = None
    mime: _Type | None = None
    size_bytes: Annotated[int, Meta(ge=1)] | None = None
    size: Annotated[int, Meta(ge=1)] | None = None
    purpose: MediaPurpose = MediaPurpose.PRODUCT

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        faults: Faults = {}
        for name, short in (("mimeType", "mime"), ("sizeBytes", "size")):
            if not given.keys() & {name, short}:
                faults[name] = ["Is required"]
        return faults


class CompletedBody(Body, frozen=True, kw_only=True):
    """``key`` or ``mediaId`` of the upload; ``width`` and ``height`` of the picture, where they are known."""

    key: _Reference | None = None
    media_id: _Reference | None = None
    width: _Side | None = None
    height: _Side | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"key", "mediaId"} else {"key": ["Is required"]}


class AttachedBody(Body, frozen=True, kw_only=True):
    """``mediaId`` or ``key`` of an upload; ``orderIndex``, ``index`` or ``position`` is its place among the images."""

    media_id: _Reference | None = None
    key: _Reference | None = None
    order_index: _Place | None = None
    index: _Place | None = None
    position: _Place | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"key", "mediaId"} else {"mediaId": ["Is required"]}

    @property
    def place(self) -> int | None:
        return next(
            (each for each in (self.order_index, self.index, self.position) if each is not None), None
        )


class ImageOrderBody(Body, frozen=True, kw_only=True):
    """``imageIds`` are all images of the listing, in their new order; ``mediaIds`` are the same."""

    image_ids: Annotated[tuple[UUID, ...], Meta(max_length=MOST_MEDIA)] | None = None
    media_ids: Annotated[tuple[UUID, ...], Meta(max_length=MOST_MEDIA)] | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if given.keys() & {"imageIds", "mediaIds"} else {"imageIds": ["Is required"]}


class MediaController(Controller):
    path = "/media"
    tags = ("Media",)
    guards = (signed_in,)
    security = BEARER

    @post("/signed-url", status_code=200, responses=answers(SignedUpload, 200, 401))
    async def signed_url(
        self, request: HttpRequest, data: JSONBody[UploadBody], backend: Backend
    ) -> ASGIResponse:
        """An address that takes one file of this type and size from you, for 15 minutes.

        Send it there with ``method``, exactly these ``headers`` and no others that name its type or length.
        ``purpose`` says what it may be: a WebP, PNG or JPEG, and a HEIC if it is for a ``product``.
        """
        account_id = caller_of(request).account_id
        mime_type, size = data.mime_type or data.mime, data.size_bytes or data.size
        assert mime_type is not None, "absent() asked for it"
        assert size is not None, "and for this"
        # Counted by the read model, which is a moment behind: a limit of what may lie about, not of what is right.
        if await open_uploads(backend.read.reads, account_id, MOST_OPEN) >= MOST_OPEN:
            raise InvalidInputError({"uploads": [f"Must be at most {MOST_OPEN} that nothing uses yet"]})
        command = RequestUpload(
            media_id=MediaId(uuid4()),
            account_id=account_id,
            mime_type=mime_type,
            size=size,
            purpose=data.purpose,
        )
        upload = await backend.write.objects.presign_upload(
            upload_key(account_id, command.media_id),
            content_type=mime_type,
            size=size,
            lifetime=UPLOAD_LIFETIME,
        )

        def view(media: Media) -> dict[str, Any]:
            return {
                "url": upload.url,
                "method": upload.method,
                "headers": upload.headers,
                "key": media.key,
                "mediaId": str(media.id),
                "expiresAt": time(upload.expires_at),
            }

        return await backend.commands.answer(request, command, view)

    @post("/complete", status_code=200, responses=answers(UploadedMedia, 200, 401, 403, 404, 409))
    async def complete(
        self, request: HttpRequest, data: JSONBody[CompletedBody], backend: Backend
    ) -> ASGIResponse:
        """Say that the file was sent. It is looked at, and made into pictures in the background."""
        command = CompleteUpload(
            media_id=_media_called(data.key or data.media_id or ""),
            account_id=caller_of(request).account_id,
            key=data.key if data.key and "/" in data.key else "",
            width=data.width or 0,
            height=data.height or 0,
        )
        return await backend.commands.answer(request, command, _viewed(backend))

    @get("/{ref:str}", responses=answers(UploadedMedia, 200, 401, 403, 404))
    async def media(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """What has become of a file that you sent."""
        position = await backend.reading.fresh(request, "media")
        media = await media_by_id(backend.read.reads, _media_called(ref))
        if media is None:
            raise MediaNotFoundError("Media not found")
        caller = caller_of(request)
        if not caller.is_admin:
            media.require_owned_by(caller.account_id)
        return answer(encode(_viewed(backend)(media)), position=position)

    @delete("/{ref:str}", status_code=200, responses=answers(None, 204, 401, 403, 404, 409))
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Have a file deleted that no listing shows. To ask for this twice changes nothing."""
        command = DeleteMedia(media_id=_media_called(ref), account_id=caller_of(request).account_id)
        return await backend.commands.answer(request, command, None, status=204)


class ListingImageController(Controller):
    tags = ("Media",)
    guards = (seller,)
    security = BEARER

    @post(
        ["/listings/{ref:str}/images", "/products/{ref:str}/images"],
        status_code=201,
        responses=answers(ListingImage, 201, 401, 403, 404, 409, 422),
    )
    async def attach(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[AttachedBody], backend: Backend
    ) -> ASGIResponse:
        """Show a picture that you sent: behind the others, or before the one that has this place now."""
        command = AttachMedia(
            listing_id=await backend.listing_called(ref),
            caller=caller_of(request),
            media_ids=(_media_called(data.media_id or data.key or ""),),
            index=data.place,
        )

        def view(shown: Shown) -> dict[str, Any]:
            (image,) = _images(shown, backend)
            return image

        return await backend.commands.answer(request, command, view, status=201, conditional=True)

    @put(
        ["/listings/{ref:str}/images/order", "/products/{ref:str}/images/order"],
        status_code=200,
        responses=answers(ListingImages, 200, 401, 403, 404),
    )
    async def reorder(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ImageOrderBody], backend: Backend
    ) -> ASGIResponse:
        """Put all images of a listing into another order."""
        command = ReorderMedia(
            listing_id=await backend.listing_called(ref),
            caller=caller_of(request),
            media_ids=tuple(map(MediaId, data.image_ids or data.media_ids or ())),
        )

        def view(shown: Shown) -> dict[str, Any]:
            return {"images": _images(shown, backend)}

        return await backend.commands.answer(request, command, view, conditional=True)

    @delete(
        ["/listings/{ref:str}/images/{image:str}", "/products/{ref:str}/images/{image:str}"],
        status_code=200,
        responses=answers(None, 204, 401, 403, 404),
    )
    async def detach(
        self, request: HttpRequest, ref: FromPath[str], image: FromPath[str], backend: Backend
    ) -> ASGIResponse:
        """Show it no longer. The file stays for a week, for another listing to show it."""
        command = DetachMedia(
            listing_id=await backend.listing_called(ref),
            caller=caller_of(request),
            media_id=_media_called(image),
        )
        return await backend.commands.answer(request, command, None, status=204, conditional=True)


def _media_called(reference: str) -> MediaId:
    """A file by its id, or by the key that ends in it."""
    media_id = reference_kind(reference.rpartition("/")[2])
    if not isinstance(media_id, UUID):
        raise MediaNotFoundError("Media not found")
    return MediaId(media_id)


def _images(shown: Shown, backend: BackendParts) -> list[dict[str, Any]]:
    return [shown_body(shown.listing, media, backend.settings.public_url) for media in shown.media]


def _viewed(backend: BackendParts) -> Callable[[Media], dict[str, Any]]:
    return lambda media: media_body(media, backend.settings.public_url)
