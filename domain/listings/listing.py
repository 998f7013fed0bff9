"""A listing: something for sale, at a price, in a number that never goes below zero."""

from __future__ import annotations

from decimal import Decimal
from typing import TypeVar, assert_never

import msgspec
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.kernel import (
    Decider,
    ForbiddenError,
    ListingId,
    NotFoundError,
    OrderId,
    RuleViolatedError,
    SellerId,
)
from domain.listings.events import (
    ListingCreated,
    ListingDetailsChanged,
    ListingDiscountChanged,
    ListingEvent,
    ListingPriceChanged,
    ListingPublished,
    ListingStatus,
    ListingUnpublished,
    StockAdjusted,
    StockCommitted,
    StockReservationReleased,
    StockReserved,
    changed_details,
)
from domain.money import Money
from domain.sellers.events import seller_of

T = TypeVar("T")


class ProductNotFoundError(NotFoundError):
    """Clients know listings as products (S2 §10.1)."""

    code = "PRODUCT_NOT_FOUND"


class InsufficientStockError(RuleViolatedError):
    code = "INSUFFICIENT_STOCK"


class ListingNotPublishableError(RuleViolatedError):
    code = "LISTING_NOT_PUBLISHABLE"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """``stock`` units are on hand; ``reserved`` of them are promised to orders that are not paid yet."""

    id: ListingId
    number: int
    seller_id: SellerId
    slug: str
    title: str
    description: str
    price: Money
    discount_percentage: Decimal
    category: str
    brand: str
    tags: tuple[str, ...]
    thumbnail: str
    images: tuple[str, ...]
    status: ListingStatus
    stock: int
    reserved: int

    @property
    def available(self) -> int:
        return self.stock - self.reserved

    def require_editable_by(self, caller: Caller) -> None:
        """The seller whose listing it is, or an admin (C25)."""
        if not caller.is_admin and self.seller_id != seller_of(caller.account_id):
            raise ForbiddenError("This is not your listing")

    def publish(self) -> list[ListingEvent]:
        if self.status is ListingStatus.ACTIVE:
            return []
        missing: dict[str, list[str]] = {}
        if not self.images and not self.thumbnail:
            missing["images"] = ["Must have at least one image"]
        if not self.description:
            missing["description"] = ["Is required"]
        if missing:
            raise ListingNotPublishableError("The listing is not complete", details=missing)
        return [ListingPublished(listing_id=self.id)]

    def unpublish(self) -> list[ListingEvent]:
        return [] if self.status is ListingStatus.DRAFT else [ListingUnpublished(listing_id=self.id)]

    def change_price(self, price: Money) -> list[ListingEvent]:
        return [] if price == self.price else [ListingPriceChanged(listing_id=self.id, price=price)]

    def change_discount(self, percentage: Decimal) -> list[ListingEvent]:
        if percentage == self.discount_percentage:
            return []
        return [ListingDiscountChanged(listing_id=self.id, discount_percentage=percentage)]

    def change_details(
        self,
        *,
        title: str | None = None,
        description: str | None = None,
        brand: str | None = None,
        tags: tuple[str, ...] | None = None,
        thumbnail: str | None = None,
        images: tuple[str, ...] | None = None,
    ) -> list[ListingEvent]:
        asked = ListingDetailsChanged(
            listing_id=self.id,
            title=_changed(self.title, title),
            description=_changed(self.description, description),
            brand=_changed(self.brand, brand),
            tags=_changed(self.tags, tags),
            thumbnail=_changed(self.thumbnail, thumbnail),
            images=_changed(self.images, images),
        )
        return [] if asked == ListingDetailsChanged(listing_id=self.id) else [asked]

    def adjust_stock(self, stock: int) -> list[ListingEvent]:
        """Count ``stock`` units on hand; those that open orders hold must be among them."""
        if stock < self.reserved:
            raise InsufficientStockError(
                f"{self.reserved} units are reserved by open orders",
                details={"stock": [f"Must be at least {self.reserved}"]},
            )
        return [] if stock == self.stock else [StockAdjusted(listing_id=self.id, stock=stock)]

    def require_purchasable(self, quantity: int) -> None:
        if self.status is not ListingStatus.ACTIVE:
            raise ProductNotFoundError("Product not found", details={"productId": self.number})
        if quantity > self.available:
            raise InsufficientStockError(
                f"Only {self.available} of '{self.title}' left",
                details={"productId": self.number, "available": self.available, "requested": quantity},
            )

    def reserve(self, order_id: OrderId, quantity: int) -> list[ListingEvent]:
        self.require_purchasable(quantity)
        return [StockReserved(listing_id=self.id, order_id=order_id, quantity=quantity)]

    def commit(self, order_id: OrderId, quantity: int) -> list[ListingEvent]:
        return [StockCommitted(listing_id=self.id, order_id=order_id, quantity=quantity)]

    @classmethod
    def evolve(cls, listing: Listing | None, event: ListingEvent) -> Listing:
        if isinstance(event, ListingCreated):
            return cls(
                id=event.listing_id,
                number=event.number,
                seller_id=event.seller_id,
                slug=event.slug,
                title=event.title,
                description=event.description,
                price=event.price,
                discount_percentage=event.discount_percentage,
                category=event.category,
                brand=event.brand,
                tags=event.tags,
                thumbnail=event.thumbnail,
                images=event.images,
                status=ListingStatus.DRAFT,
                stock=event.stock,
                reserved=0,
            )
        assert listing is not None, "a listing's first event is ListingCreated"
        match event:
            case StockReserved(quantity=quantity):
                return replace(listing, reserved=listing.reserved + quantity)
            case StockCommitted(quantity=quantity):
                return replace(listing, reserved=listing.reserved - quantity, stock=listing.stock - quantity)
            case StockReservationReleased(quantity=quantity):
                return replace(listing, reserved=listing.reserved - quantity)
            case StockAdjusted(stock=stock):
                return replace(listing, stock=stock)
            case ListingPublished():
                return replace(listing, status=ListingStatus.ACTIVE)
            case ListingUnpublished():
                return replace(listing, status=ListingStatus.DRAFT)
            case ListingPriceChanged(price=price):
                return replace(listing, price=price)
            case ListingDiscountChanged(discount_percentage=percentage):
                return replace(listing, discount_percentage=percentage)
            case ListingDetailsChanged():
                return replace(listing, **changed_details(event))
            case _:
                assert_never(event)


def _changed(old: T, new: T | None) -> T | None:
    return None if new == old else new


LISTINGS: Decider[Listing, ListingEvent] = Decider("listings", Listing.evolve, snapshot=Listing)
