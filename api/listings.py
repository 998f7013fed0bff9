"""Offering products: by people, by shops and by the house, and what admins do with the offers of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, ClassVar, Final, TypeVar
from uuid import UUID

import msgspec
from litestar import Controller, HttpMethod, Request, delete, post, put, route
from litestar.params import FromPath, JSONBody
from litestar.response.base import ASGIResponse
from msgspec import UNSET, Meta, Raw, UnsetType
from msgspec.structs import replace

from api.authentication import BEARER, admin, caller_of, seller
from api.backend import Backend, BackendParts
from api.catalogue import joined
from api.categories import Slug
from api.commands import View
from api.documentation import answers
from api.input import (
    AnyReference,
    Body,
    Check,
    Faults,
    OptionalUrl,
    Price,
    PriceBound,
    Stock,
    Url,
    money,
    optional_body,
    percentage,
)
from api.models import DeletedProduct, ModeratedProduct, Product
from api.wire import encode
from application.listings.changing import ChangeListing
from application.listings.creating import CreateListing
from application.listings.deleting import DeleteListing, RestoreListing
from application.listings.moderating import FlagListing, HideListing, RemoveListing, UnhideListing
from application.listings.publishing import PublishListing, RenewListing, UnpublishListing
from application.slugs import reference_kind
from domain.accounts.events import Caller
from domain.kernel import AccountId, CollectionId, ForbiddenError, ListingId, MediaId
from domain.listings.events import Location, Moderation
from domain.listings.listing import COMMON, MOST_MEDIA, Listing
from domain.sellers.events import HOUSE_SELLER, seller_of
from projections.collections.query import collections_with_listing
from projections.products.product import kept_body, listing_body
from projections.products.query import product_by
from projections.wire import time

HttpRequest = Request[Any, Any, Any]

T = TypeVar("T")

FINEST_DISCOUNT: Final = 8
"""Decimals of a percentage, with which the discount of any price can be said to the cent."""


def _discount_faults(value: float) -> list[str]:
    exponent = Decimal(str(value)).as_tuple().exponent
    fine = isinstance(exponent, int) and exponent >= -FINEST_DISCOUNT
    return [] if fine else [f"Must have at most {FINEST_DISCOUNT} decimals"]


def _status_faults(status: str) -> list[str]:
    return [] if status.lower() in {"draft", "active"} else ["Must be draft or active"]


def _currency_faults(currency: str) -> list[str]:
    return [] if currency.upper() == "USD" else ["Must be USD"]


def _uuid_faults(reference: str) -> list[str]:
    return [] if not reference or isinstance(reference_kind(reference), UUID) else ["Must be a uuid"]


Title = Annotated[str, Meta(min_length=3, max_length=200, examples=["iPhone 15 Pro"])]
Description = Annotated[str, Meta(max_length=5000)]
LongDescription = Annotated[str, Meta(min_length=10, max_length=5000, examples=["Latest Apple smartphone"])]
Brand = Annotated[str, Meta(max_length=100)]
Tags = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...], Meta(max_length=30)]
Images = Annotated[tuple[Url, ...], Meta(max_length=MOST_MEDIA)]
ShownImages = Annotated[tuple[Url, ...], Meta(max_length=2 * MOST_MEDIA)]
"""With those that were uploaded: whoever was shown them may send them back."""
Discount = Annotated[float, Meta(ge=0, le=100, examples=[5.5]), Check(_discount_faults)]
Attributes = Annotated[dict[str, Any], Meta(max_length=100, examples=[{"size": "M", "color": ["red"]}])]
Categories = Annotated[tuple[AnyReference, ...], Meta(max_length=10)]
Collections = Annotated[tuple[AnyReference, ...], Meta(max_length=20)]
MediaIds = Annotated[
    tuple[Annotated[str, Meta(min_length=1, max_length=100), Check(_uuid_faults)], ...],
    Meta(max_length=MOST_MEDIA),
]
ProfileId = Annotated[str, Meta(max_length=100), Check(_uuid_faults)]
Measure = Annotated[float, Meta(ge=0, le=1_000_000)]
Line = Annotated[str, Meta(max_length=500)]
MetaFields = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=50)],
        Annotated[str, Meta(max_length=2048)] | float | bool,
    ],
    Meta(max_length=20),
]
Note = Annotated[str, Meta(max_length=1000)]
Marks = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=50)], ...], Meta(max_length=20)]


class LocationBody(Body, frozen=True, kw_only=True):
    """In degrees; we keep two decimals of them."""

    lat: Annotated[float, Meta(ge=-90, le=90, examples=[52.52])]
    lng: Annotated[float, Meta(ge=-180, le=180, examples=[13.4])]
    city: Annotated[str, Meta(max_length=100)] = ""

    def location(self) -> Location:
        return Location(lat=self.lat, lng=self.lng, city=self.city)


class DimensionsBody(Body, frozen=True, kw_only=True):
    width: Measure | None = None
    height: Measure | None = None
    depth: Measure | None = None


class ExtrasBody(Body, frozen=True, kw_only=True):
    """DummyJSON's fields that no rule reads (C50)."""

    sku: Annotated[str, Meta(max_length=100)] | UnsetType | None = UNSET
    weight: Measure | UnsetType | None = UNSET
    dimensions: DimensionsBody | UnsetType | None = UNSET
    warranty_information: Line | UnsetType | None = UNSET
    shipping_information: Line | UnsetType | None = UNSET
    return_policy: Line | UnsetType | None = UNSET
    minimum_order_quantity: Stock | UnsetType | None = UNSET
    meta: MetaFields | UnsetType | None = UNSET

    @property
    def extras(self) -> dict[str, Any]:
        """Those that are given, by their names there."""
        return {
            field.encode_name: _plain(value)
            for field in EXTRAS
            if (value := getattr(self, field.name)) is not UNSET
        }


EXTRAS: Final = msgspec.structs.fields(ExtrasBody)


class ThingBody(ExtrasBody, frozen=True, kw_only=True):
    """What can be said of a thing.

    ``size``, ``gender``, ``condition``, ``material`` and ``style`` are attributes like any other (S0). ``categories``
    are all that it is found in; it belongs to the first one, or to ``category``. ``salePrice`` is another way to say
    the discount. ``stock`` is how many can be bought; those that open orders hold are there besides.
    """

    description: Description | UnsetType | None = UNSET
    description_short: Description | UnsetType | None = UNSET
    brand: Brand | UnsetType | None = UNSET
    tags: Tags | UnsetType | None = UNSET
    thumbnail: OptionalUrl | UnsetType | None = UNSET
    images: Images | UnsetType | None = UNSET
    discount_percentage: Discount | UnsetType | None = UNSET
    sale_price: PriceBound | UnsetType | None = UNSET
    currency: Annotated[str, Check(_currency_faults)] | UnsetType = UNSET
    stock: Stock | UnsetType = UNSET
    slug: Slug | UnsetType = UNSET
    category: AnyReference | UnsetType = UNSET
    categories: Categories | UnsetType = UNSET
    collections: Collections | UnsetType | None = UNSET
    attributes: Attributes | UnsetType | None = UNSET
    size: Any | UnsetType = UNSET
    gender: Any | UnsetType = UNSET
    condition: Any | UnsetType = UNSET
    material: Any | UnsetType = UNSET
    style: Any | UnsetType = UNSET
    location: LocationBody | UnsetType | None = UNSET
    shipping_profile_id: ProfileId | UnsetType | None = UNSET

    @property
    def common(self) -> dict[str, Any]:
        """The attributes that stand beside the others."""
        keys = [attribute.key for attribute in COMMON]
        return {key: value for key in keys if (value := getattr(self, key)) is not UNSET}

    @property
    def references(self) -> dict[str, Any]:
        """Category, categories and collections, as far as they are given."""
        found: dict[str, Any] = {}
        if not isinstance(self.category, UnsetType):
            found["category"] = str(self.category)
        for field in ("categories", "collections"):
            if (given := getattr(self, field)) is not UNSET:
                found[field] = tuple(map(str, given or ()))
        return found


class OfferBody(ThingBody, frozen=True, kw_only=True):
    """Something to be offered. Without ``stock`` or ``quantity`` there is one of it, and it is sold once for all.

    ``status`` is draft or active; who does not say so gets a draft, unless they send all that the catalogue needs:
    ``stock`` and ``images``, and neither ``mediaIds`` nor ``descriptionShort`` (C24b).
    """

    title: Title
    price: Price
    quantity: Stock | None = None
    unique: bool | None = None
    media_ids: MediaIds = ()
    status: Annotated[str, Check(_status_faults)] | None = None

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        return {} if "category" in given or given.get("categories") else {"category": ["Is required"]}

    @property
    def is_whole(self) -> bool:
        """Whether it is S2's or S3's body, which is seen at once, and not a draft of S0's."""
        draft = self.media_ids or not isinstance(self.description_short, UnsetType)
        return not draft and bool(_given(self.images, ())) and not isinstance(self.stock, UnsetType)

    def command(self, caller: Caller, *, stock: int | None, publish: bool) -> CreateListing:
        """``stock`` is how many there are where nobody says so; none is the one and only."""
        if not isinstance(self.collections, UnsetType) and self.collections and not caller.is_admin:
            raise ForbiddenError("Only admins put products into collections")
        counted = _given(self.stock, stock if self.quantity is None else self.quantity)
        alone = counted is None
        sale_price = _given(self.sale_price, None)
        discount = _given(self.discount_percentage, None)
        location = _given(self.location, None)
        return CreateListing(
            seller_id=HOUSE_SELLER if caller.is_admin else seller_of(caller.account_id),
            title=self.title,
            price=money(self.price),
            **self.references,
            description=_given(self.description, ""),
            description_short=_given(self.description_short, ""),
            discount_percentage=None if discount is None else percentage(discount),
            sale_price=None if sale_price is None else money(sale_price),
            brand=_given(self.brand, ""),
            tags=_given(self.tags, ()),
            stock=1 if alone else counted,
            unique=alone if self.unique is None else self.unique,
            thumbnail=_given(self.thumbnail, ""),
            images=_given(self.images, ()),
            caller=caller,
            media_ids=tuple(MediaId(UUID(each)) for each in dict.fromkeys(self.media_ids)),
            slug=_given(self.slug, ""),
            attributes={**self.common, **_given(self.attributes, {})},
            location=None if location is None else location.location(),
            shipping_profile_id=_profile(_given(self.shipping_profile_id, None)),
            publish=publish if self.status is None else self.status.lower() == "active",
            extras=self.extras,
        )


class CatalogueProductBody(OfferBody, frozen=True, kw_only=True):
    """S2 §5.2.6, with what it requires."""

    description: LongDescription
    thumbnail: Url
    brand: Annotated[str, Meta(min_length=1, max_length=100)]
    stock: Stock


class ListingChangeBody(ThingBody, frozen=True, kw_only=True):
    """The fields that are given change. What is null is cleared: also within ``attributes``, and all of them at once.

    Descriptions, images and required attributes cannot be cleared while everybody sees them.
    """

    keeps_null: ClassVar[bool] = True
    keeps_null_in: ClassVar[frozenset[str]] = frozenset({"attributes"})

    title: Title | UnsetType = UNSET
    price: Price | UnsetType = UNSET
    images: ShownImages | UnsetType | None = UNSET

    def command(
        self, listing_id: ListingId, caller: Caller, collected_in: tuple[CollectionId, ...]
    ) -> ChangeListing:
        return ChangeListing(
            listing_id=listing_id,
            caller=caller,
            **self.references,
            collected_in=collected_in,
            title=_given(self.title, None),
            description=_cleared(self.description, ""),
            description_short=_cleared(self.description_short, ""),
            brand=_cleared(self.brand, ""),
            tags=_cleared(self.tags, ()),
            thumbnail=_cleared(self.thumbnail, ""),
            images=_cleared(self.images, ()),
            attributes=self.attributes,
            common=self.common,
            extras=self.extras,
            slug=_given(self.slug, None),
            price=None if isinstance(self.price, UnsetType) else money(self.price),
            discount_percentage=None
            if isinstance(self.discount_percentage, UnsetType)
            else percentage(self.discount_percentage or 0),
            sale_price=money(self.sale_price) if isinstance(self.sale_price, float) else self.sale_price,
            stock=_given(self.stock, None),
            location=self.location.location() if isinstance(self.location, LocationBody) else self.location,
            shipping_profile_id=UNSET
            if isinstance(self.shipping_profile_id, UnsetType)
            else _profile(self.shipping_profile_id),
        )


class ModerationBody(Body, frozen=True, kw_only=True):
    """The seller reads the ``reason``."""

    reason: Note = ""


class FlagsBody(Body, frozen=True, kw_only=True):
    flags: Marks
    note: Note = ""


_NAMES: Final = ["/products/{ref:str}", "/listings/{ref:str}"]
_KEPT: Final = ["/admin/products", "/admin/listings"]


class _Answered(msgspec.Struct, frozen=True):
    uuid: UUID


class _Said(msgspec.Struct, frozen=True, rename="camel"):
    """What the catalogue knows of a product that the listing itself does not; nothing of a new one."""

    rating: Raw = Raw(b"0")
    review_count: int = 0
    reviews: Raw = Raw(b"[]")


_ANSWERED: Final = msgspec.json.Decoder(_Answered)
_SAID: Final = msgspec.json.Decoder(_Said)


class ListingController(Controller):
    """For whoever sells; admins may do with everybody's listings what their sellers may."""

    tags = ("Products",)
    guards = (seller,)
    security = BEARER

    @post("/products", status_code=201, responses=answers(Product, 201, 401, 403, 409))
    async def offer(self, request: HttpRequest, data: JSONBody[OfferBody], backend: Backend) -> ASGIResponse:
        """Offer something: as a draft or for everybody to see, as ``status`` says or the fields that are given."""
        command = data.command(caller_of(request), stock=None, publish=data.is_whole)
        return await _answer(request, command, _view(backend), backend, status=201)

    @post("/listings", status_code=201, responses=answers(Product, 201, 401, 403, 409))
    async def draft(self, request: HttpRequest, data: JSONBody[OfferBody], backend: Backend) -> ASGIResponse:
        """Offer something: as a draft, unless ``status`` is ``active``."""
        command = data.command(caller_of(request), stock=None, publish=False)
        return await _answer(request, command, _view(backend), backend, status=201)

    @post(
        "/products/add",
        status_code=201,
        guards=[admin],
        responses=answers(Product, 201, 401, 403, 409),
    )
    async def add(
        self, request: HttpRequest, data: JSONBody[CatalogueProductBody], backend: Backend
    ) -> ASGIResponse:
        """Add a product to the catalogue, for everybody to see at once."""
        command = data.command(caller_of(request), stock=0, publish=True)
        return await _answer(request, command, _view(backend), backend, status=201)

    @route(
        _NAMES,
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        responses=answers(Product, 200, 401, 403, 404, 409, 422),
    )
    async def change(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ListingChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields that are given (C25); with ``If-Match`` only if nobody has changed it since."""
        return await _change(request, ref, data, backend)

    @delete(_NAMES, status_code=200, responses=answers(DeletedProduct, 200, 401, 403, 404, 409))
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take it back for good; only admins can restore it. What an open order holds stays."""
        command = DeleteListing(listing_id=await backend.listing_called(ref), caller=caller_of(request))
        return await _answer(request, command, _deleted_view(backend), backend, conditional=True)

    @post(
        [f"{name}/publish" for name in _NAMES],
        status_code=200,
        responses=answers(Product, 200, 401, 403, 404, 409, 422),
    )
    async def publish(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Let everybody see it and buy it: for 60 days, where a person offers it."""
        command = PublishListing(listing_id=await backend.listing_called(ref), caller=caller_of(request))
        return await _answer(request, command, _view(backend), backend, conditional=True)

    @post(
        [f"{name}/unpublish" for name in _NAMES],
        status_code=200,
        responses=answers(Product, 200, 401, 403, 404, 409),
    )
    async def unpublish(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take it out of the catalogue; it is a draft again."""
        command = UnpublishListing(listing_id=await backend.listing_called(ref), caller=caller_of(request))
        return await _answer(request, command, _view(backend), backend, conditional=True)

    @post(
        [f"{name}/renew" for name in _NAMES],
        status_code=200,
        responses=answers(Product, 200, 401, 403, 404, 409, 422),
    )
    async def renew(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Keep it in the catalogue for another 60 days, or bring it back when its time was over."""
        command = RenewListing(listing_id=await backend.listing_called(ref), caller=caller_of(request))
        return await _answer(request, command, _view(backend), backend, conditional=True)


class KeptListingController(Controller):
    """For admins: the catalogue of the house, and everybody's listings."""

    tags = ("Products",)
    guards = (admin,)
    security = BEARER

    @post(_KEPT, status_code=201, responses=answers(Product, 201, 401, 403, 409))
    async def add(self, request: HttpRequest, data: JSONBody[OfferBody], backend: Backend) -> ASGIResponse:
        """Add a product to the catalogue of the house, for everybody to see unless ``status`` is ``draft``."""
        command = data.command(caller_of(request), stock=0, publish=True)
        return await _answer(request, command, _view(backend), backend, status=201)

    @route(
        [f"{path}/{{ref:str}}" for path in _KEPT],
        http_method=[HttpMethod.PUT, HttpMethod.PATCH],
        status_code=200,
        responses=answers(Product, 200, 401, 403, 404, 409, 422),
    )
    async def change(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[ListingChangeBody], backend: Backend
    ) -> ASGIResponse:
        """Change the fields that are given, of anybody's listing; ``collections`` are all that it is in then."""
        return await _change(request, ref, data, backend)

    @delete(
        [f"{path}/{{ref:str}}" for path in _KEPT],
        status_code=200,
        body=ModerationBody,
        responses=answers(None, 204, 401, 403, 404, 409),
    )
    async def delete(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Delete a listing; it can be restored. What an open order holds stays."""
        data = await optional_body(request, ModerationBody)
        command = DeleteListing(
            listing_id=await backend.listing_called(ref), caller=caller_of(request), reason=data.reason
        )
        return await backend.commands.answer(request, command, None, status=204, conditional=True)

    @post(
        [f"{path}/{{ref:str}}/restore" for path in _KEPT],
        status_code=200,
        responses=answers(ModeratedProduct, 200, 401, 403, 404, 409),
    )
    async def restore(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Bring back what was deleted or removed, in the status that it had."""
        command = RestoreListing(listing_id=await backend.listing_called(ref))
        return await _answer(request, command, _moderated_view(backend), backend, conditional=True)

    @post(
        [f"{path}/{{ref:str}}/hide" for path in _KEPT],
        status_code=200,
        body=ModerationBody,
        responses=answers(ModeratedProduct, 200, 401, 403, 404, 409),
    )
    async def hide(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take a listing out of sight for now; its seller still sees it, and why it is hidden."""
        data = await optional_body(request, ModerationBody)
        command = HideListing(listing_id=await backend.listing_called(ref), reason=data.reason)
        return await _answer(request, command, _moderated_view(backend), backend, conditional=True)

    @post(
        [f"{path}/{{ref:str}}/unhide" for path in _KEPT],
        status_code=200,
        responses=answers(ModeratedProduct, 200, 401, 403, 404, 409),
    )
    async def unhide(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Let it be seen again."""
        command = UnhideListing(listing_id=await backend.listing_called(ref))
        return await _answer(request, command, _moderated_view(backend), backend, conditional=True)

    @post(
        [f"{path}/{{ref:str}}/remove" for path in _KEPT],
        status_code=200,
        body=ModerationBody,
        responses=answers(ModeratedProduct, 200, 401, 403, 404),
    )
    async def remove(self, request: HttpRequest, ref: FromPath[str], backend: Backend) -> ASGIResponse:
        """Take a listing out of sight for good: its seller cannot change it any more, and only admins restore it."""
        data = await optional_body(request, ModerationBody)
        command = RemoveListing(listing_id=await backend.listing_called(ref), reason=data.reason)
        return await _answer(request, command, _moderated_view(backend), backend, conditional=True)

    @put(
        [f"{path}/{{ref:str}}/flags" for path in _KEPT],
        responses=answers(ModeratedProduct, 200, 401, 403, 404),
    )
    async def flag(
        self, request: HttpRequest, ref: FromPath[str], data: JSONBody[FlagsBody], backend: Backend
    ) -> ASGIResponse:
        """The moderators' flags, as they are from now on; its seller sees none of them."""
        flags = tuple(dict.fromkeys(data.flags))
        command = FlagListing(listing_id=await backend.listing_called(ref), flags=flags, note=data.note)
        return await _answer(request, command, _moderated_view(backend), backend, conditional=True)


async def _change(
    request: HttpRequest, ref: str, data: ListingChangeBody, backend: BackendParts
) -> ASGIResponse:
    listing_id = await backend.listing_called(ref)
    collected_in: tuple[CollectionId, ...] = ()
    if data.collections is not UNSET:
        await backend.reading.fresh(request, "collections")
        collected_in = await collections_with_listing(backend.read.reads, listing_id)
    command = data.command(listing_id, caller_of(request), collected_in)
    return await _answer(request, command, _view(backend), backend, conditional=True)


async def _answer(
    request: HttpRequest,
    command: object,
    view: View,
    backend: BackendParts,
    *,
    status: int = 200,
    conditional: bool = False,
) -> ASGIResponse:
    """The product as S2's clients know it, with what others say of it: that is read anew, and never kept in answers.

    An answer to an admin tells about the seller: once that one is erased, nothing but its status is repeated.
    """
    carried = await backend.commands.carry_out(
        request, command, view, status=status, conditional=conditional, person=_seller_in
    )
    if not carried.body:
        return carried.response()
    found = await product_by(backend.read.reads, _ANSWERED.decode(carried.body).uuid)
    said = _Said() if found is None else _SAID.decode(found.body)
    return replace(carried, body=joined(carried.body, encode(said))).response()


def _seller_in(listing: Listing) -> AccountId | None:
    return listing.account_id


def _view(backend: BackendParts) -> View:
    """With the addresses of its pictures, which only the settings know."""
    return partial(listing_body, address=backend.settings.public_url)


def _deleted_view(backend: BackendParts) -> View:
    """C7."""

    def body(listing: Listing) -> dict[str, Any]:
        assert listing.deleted_at is not None
        return {**_view(backend)(listing), "isDeleted": True, "deletedOn": time(listing.deleted_at)}

    return body


def _moderated_view(backend: BackendParts) -> View:
    """With what only admins know of it."""

    def body(listing: Listing) -> dict[str, Any]:
        return {
            **_view(backend)(listing),
            **kept_body(listing, for_admins=True),
            "hidden": listing.moderation is not Moderation.VISIBLE,
            "removed": listing.moderation is Moderation.REMOVED,
        }

    return body


def _plain(value: Any) -> Any:
    if isinstance(value, DimensionsBody):
        return {side: length for side, length in msgspec.structs.asdict(value).items() if length is not None}
    return value


def _profile(reference: str | None) -> UUID | None:
    return UUID(reference) if reference else None


def _given(value: T | UnsetType | None, otherwise: Any) -> Any:
    return otherwise if value is None or isinstance(value, UnsetType) else value


def _cleared(value: T | UnsetType | None, empty: T) -> T | None:
    """What a field becomes: nothing new where it is not given, and empty where it is null."""
    if isinstance(value, UnsetType):
        return None
    return empty if value is None else value
