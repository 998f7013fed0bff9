"""What can happen to a listing."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, TypeAlias
from uuid import UUID

import msgspec

from domain.kernel import (
    AccountId,
    CategoryId,
    Event,
    ListingId,
    MediaId,
    OrderId,
    Personal,
    PersonalText,
    SellerId,
)
from domain.media.events import Variant
from domain.money import Money


class ListingStatus(StrEnum):
    """C27. Only an active listing is found and can be bought; a sold one still tells what became of it."""

    DRAFT = "draft"
    ACTIVE = "active"
    SOLD = "sold"
    EXPIRED = "expired"


class Moderation(StrEnum):
    """C27. Whatever its status is: a hidden or removed listing is seen by its seller and by admins only."""

    VISIBLE = "visible"
    HIDDEN = "hidden"
    REMOVED = "removed"


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where something can be had, in degrees: never more precise than a kilometre, because people live there."""

    lat: float
    lng: float
    city: str = ""


PersonalLocation = Annotated[Location | None, Personal(erased=None)]
"""Of a listing and its seller, ``account_id`` in what happens to it: the house has none, and listings of earlier days
do not say. The same goes for what admins say of it and so of them.
"""


class ListingMedia(msgspec.Struct, frozen=True, kw_only=True):
    """An uploaded picture of the thing. There are no ``variants`` until it has been processed."""

    media_id: MediaId
    mime_type: str
    size: int
    width: int = 0
    height: int = 0
    variants: tuple[Variant, ...] = ()


class ListingCreated(Event, frozen=True, kw_only=True, tag="listing_created"):
    """``category`` is the category's slug as it was; ``imported_rating`` stands until the first review of our own.

    ``category_id`` is where it belongs, ``further_category_ids`` where it is found besides. A ``unique`` one is sold
    once and for all. ``extras`` are DummyJSON's fields that no rule reads (C50): sku, weight, dimensions, …
    """

    subject = "account_id"

    listing_id: ListingId
    number: int
    seller_id: SellerId
    slug: str
    title: str
    description: str
    price: Money
    discount_percentage: Decimal = Decimal(0)
    category_id: CategoryId
    category: str
    brand: str = ""
    tags: tuple[str, ...] = ()
    stock: int = 0
    thumbnail: str = ""
    images: tuple[str, ...] = ()
    imported_rating: Decimal | None = None
    extras: dict[str, Any] = msgspec.field(default_factory=dict)
    description_short: str = ""
    unique: bool = False
    attributes: dict[str, Any] = msgspec.field(default_factory=dict)
    further_category_ids: tuple[CategoryId, ...] = ()
    location: PersonalLocation = None
    shipping_profile_id: UUID | None = None
    account_id: AccountId | None = None


class ListingPublished(Event, frozen=True, kw_only=True, tag="listing_published"):
    """``expires_at`` is when it goes out of the catalogue unless it is renewed; most never do (A25)."""

    listing_id: ListingId
    expires_at: datetime | None = None


class ListingUnpublished(Event, frozen=True, kw_only=True, tag="listing_unpublished"):
    listing_id: ListingId


class ListingExpired(Event, frozen=True, kw_only=True, tag="listing_expired"):
    listing_id: ListingId


class ListingRenewed(Event, frozen=True, kw_only=True, tag="listing_renewed"):
    """It is in the catalogue, again or still, until ``expires_at``."""

    listing_id: ListingId
    expires_at: datetime | None = None


class ListingSold(Event, frozen=True, kw_only=True, tag="listing_sold"):
    """The only one there was is paid. It comes back with ``StockRestored`` if the order does."""

    listing_id: ListingId
    order_id: OrderId


class ListingDetailsChanged(Event, frozen=True, kw_only=True, tag="listing_details_changed"):
    """The new value of each field that changed, ``None`` for the others; ``attributes`` are all of them."""

    listing_id: ListingId
    title: str | None = None
    description: str | None = None
    brand: str | None = None
    tags: tuple[str, ...] | None = None
    thumbnail: str | None = None
    images: tuple[str, ...] | None = None
    description_short: str | None = None
    attributes: dict[str, Any] | None = None
    extras: dict[str, Any] | None = None


class ListingSlugChanged(Event, frozen=True, kw_only=True, tag="listing_slug_changed"):
    """Its former slug still leads to it, and is never given to another one."""

    listing_id: ListingId
    slug: str


class ListingCategorized(Event, frozen=True, kw_only=True, tag="listing_categorized"):
    """All categories that it is in from now on; ``category`` is the first one's slug as it is."""

    listing_id: ListingId
    category_id: CategoryId
    category: str
    further_category_ids: tuple[CategoryId, ...] = ()


class ListingRelocated(Event, frozen=True, kw_only=True, tag="listing_relocated"):
    subject = "account_id"

    listing_id: ListingId
    location: PersonalLocation
    account_id: AccountId | None = None


class ListingShippingChosen(Event, frozen=True, kw_only=True, tag="listing_shipping_chosen"):
    """By which of its seller's shipping profiles it is sent; none is the shop's own way."""

    listing_id: ListingId
    shipping_profile_id: UUID | None


class ListingPriceChanged(Event, frozen=True, kw_only=True, tag="listing_price_changed"):
    listing_id: ListingId
    price: Money


class ListingDiscountChanged(Event, frozen=True, kw_only=True, tag="listing_discount_changed"):
    listing_id: ListingId
    discount_percentage: Decimal


class ListingMediaAttached(Event, frozen=True, kw_only=True, tag="listing_media_attached"):
    """The picture as it was known then; ``index`` is its place among the others, from 0."""

    listing_id: ListingId
    media: ListingMedia
    index: int


class ListingMediaReordered(Event, frozen=True, kw_only=True, tag="listing_media_reordered"):
    """All pictures, in their new order."""

    listing_id: ListingId
    media_ids: tuple[MediaId, ...]


class ListingMediaDetached(Event, frozen=True, kw_only=True, tag="listing_media_detached"):
    listing_id: ListingId
    media_id: MediaId


class StockAdjusted(Event, frozen=True, kw_only=True, tag="stock_adjusted"):
    """Somebody counted: ``stock`` units are on hand, those reserved by open orders included."""

    listing_id: ListingId
    stock: int


class StockReserved(Event, frozen=True, kw_only=True, tag="stock_reserved"):
    listing_id: ListingId
    order_id: OrderId
    quantity: int


class StockCommitted(Event, frozen=True, kw_only=True, tag="stock_committed"):
    """The order is paid: its units are gone for good."""

    listing_id: ListingId
    order_id: OrderId
    quantity: int


class StockReservationReleased(Event, frozen=True, kw_only=True, tag="stock_reservation_released"):
    listing_id: ListingId
    order_id: OrderId
    quantity: int


class StockRestored(Event, frozen=True, kw_only=True, tag="stock_restored"):
    """Units that were paid for came back, with an order that was cancelled or returned."""

    listing_id: ListingId
    order_id: OrderId
    quantity: int


class LowStockReached(Event, frozen=True, kw_only=True, tag="low_stock_reached"):
    """There are but ``available`` left, no more than ``threshold``, and its seller is told: once, until there are more.

    Several listings of one seller are told of together: by the event of the first of them, which names the ``others``;
    theirs name it in turn (``told_with``). ``account_id`` is the seller's; the house has none.
    """

    listing_id: ListingId
    seller_id: SellerId
    account_id: AccountId | None = None
    available: int
    threshold: int
    others: tuple[ListingId, ...] = ()
    told_with: ListingId | None = None


class ListingHidden(Event, frozen=True, kw_only=True, tag="listing_hidden"):
    """An admin took it out of sight; its seller reads the ``reason``."""

    subject = "account_id"

    listing_id: ListingId
    reason: PersonalText = ""
    account_id: AccountId | None = None


class ListingUnhidden(Event, frozen=True, kw_only=True, tag="listing_unhidden"):
    listing_id: ListingId


class ListingRemoved(Event, frozen=True, kw_only=True, tag="listing_removed"):
    """An admin took it out of sight for good: only admins can change it, or bring it back by ``ListingRestored``."""

    subject = "account_id"

    listing_id: ListingId
    reason: PersonalText = ""
    account_id: AccountId | None = None


class ListingFlagged(Event, frozen=True, kw_only=True, tag="listing_flagged"):
    """All flags that admins have put on it, for themselves to find it by; ``note`` is for admins only."""

    subject = "account_id"

    listing_id: ListingId
    flags: tuple[str, ...]
    note: PersonalText = ""
    account_id: AccountId | None = None


class ListingDeleted(Event, frozen=True, kw_only=True, tag="listing_deleted"):
    """It is gone for everybody but admins, who can restore it."""

    subject = "account_id"

    listing_id: ListingId
    deleted_at: datetime
    reason: PersonalText = ""
    account_id: AccountId | None = None


class ListingRestored(Event, frozen=True, kw_only=True, tag="listing_restored"):
    """It is neither deleted nor removed any more, and in the status that it had."""

    listing_id: ListingId


ListingEvent: TypeAlias = (
    ListingCreated
    | ListingPublished
    | ListingUnpublished
    | ListingExpired
    | ListingRenewed
    | ListingSold
    | ListingDetailsChanged
    | ListingSlugChanged
    | ListingCategorized
    | ListingRelocated
    | ListingShippingChosen
    | ListingPriceChanged
    | ListingDiscountChanged
    | ListingMediaAttached
    | ListingMediaReordered
    | ListingMediaDetached
    | StockAdjusted
    | StockReserved
    | StockCommitted
    | StockReservationReleased
    | StockRestored
    | LowStockReached
    | ListingHidden
    | ListingUnhidden
    | ListingRemoved
    | ListingFlagged
    | ListingDeleted
    | ListingRestored
)

_DETAILS = (
    "title",
    "description",
    "brand",
    "tags",
    "thumbnail",
    "images",
    "description_short",
    "attributes",
    "extras",
)


def changed_details(event: ListingDetailsChanged) -> dict[str, object]:
    """The fields that the event gives a new value."""
    return {name: value for name in _DETAILS if (value := getattr(event, name)) is not None}
