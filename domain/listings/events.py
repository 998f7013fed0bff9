"""What can happen to a listing."""

from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec

from domain.kernel import CategoryId, Event, ListingId, OrderId, SellerId
from domain.money import Money


class ListingStatus(StrEnum):
    """C27. Only an active listing is seen by everyone and can be bought."""

    DRAFT = "draft"
    ACTIVE = "active"


class ListingCreated(Event, frozen=True, kw_only=True, tag="listing_created"):
    """``category`` is the category's slug as it was; ``imported_rating`` stands until the first review of our own.

    ``extras`` are DummyJSON's fields that no rule reads (C50): sku, weight, dimensions, …
    """

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


class ListingPublished(Event, frozen=True, kw_only=True, tag="listing_published"):
    listing_id: ListingId


class ListingUnpublished(Event, frozen=True, kw_only=True, tag="listing_unpublished"):
    listing_id: ListingId


class ListingDetailsChanged(Event, frozen=True, kw_only=True, tag="listing_details_changed"):
    """The new value of each field that changed, ``None`` for the others."""

    listing_id: ListingId
    title: str | None = None
    description: str | None = None
    brand: str | None = None
    tags: tuple[str, ...] | None = None
    thumbnail: str | None = None
    images: tuple[str, ...] | None = None


class ListingPriceChanged(Event, frozen=True, kw_only=True, tag="listing_price_changed"):
    listing_id: ListingId
    price: Money


class ListingDiscountChanged(Event, frozen=True, kw_only=True, tag="listing_discount_changed"):
    listing_id: ListingId
    discount_percentage: Decimal


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


ListingEvent: TypeAlias = (
    ListingCreated
    | ListingPublished
    | ListingUnpublished
    | ListingDetailsChanged
    | ListingPriceChanged
    | ListingDiscountChanged
    | StockAdjusted
    | StockReserved
    | StockCommitted
    | StockReservationReleased
)


def changed_details(event: ListingDetailsChanged) -> dict[str, object]:
    """The fields that the event gives a new value."""
    fields = ("title", "description", "brand", "tags", "thumbnail", "images")
    return {name: value for name in fields if (value := getattr(event, name)) is not None}
