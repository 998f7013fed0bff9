"""A listing: something for sale, at a price, in a number that never goes below zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.attributes import Attribute, AttributeType, Faults, Schema, faults_of_attributes
from domain.kernel import (
    AccountId,
    AlreadyExistsError,
    CategoryId,
    Decider,
    ForbiddenError,
    InvalidInputError,
    ListingId,
    MediaId,
    NotFoundError,
    OrderId,
    PersonalText,
    RuleViolatedError,
    SellerId,
    StillReferencedError,
)
from domain.listings.events import (
    ListingCategorized,
    ListingCreated,
    ListingDeleted,
    ListingDetailsChanged,
    ListingDiscountChanged,
    ListingEvent,
    ListingExpired,
    ListingFlagged,
    ListingHidden,
    ListingMedia,
    ListingMediaAttached,
    ListingMediaDetached,
    ListingMediaReordered,
    ListingPriceChanged,
    ListingPublished,
    ListingRelocated,
    ListingRemoved,
    ListingRenewed,
    ListingRestored,
    ListingShippingChosen,
    ListingSlugChanged,
    ListingSold,
    ListingStatus,
    ListingUnhidden,
    ListingUnpublished,
    Location,
    LowStockReached,
    Moderation,
    PersonalLocation,
    StockAdjusted,
    StockCommitted,
    StockReservationReleased,
    StockReserved,
    StockRestored,
    changed_details,
)
from domain.money import Money
from domain.sellers.events import SellerKind, seller_of

T = TypeVar("T")

MOST_MEDIA: Final = 12
"""Pictures of one listing: as many that were uploaded, and as many that others keep (A25)."""

LIFETIME: Final = timedelta(days=60)
"""How long what a person offers stays in the catalogue unless it is renewed (A25)."""

COMMON: Final = tuple(
    Attribute(key=key, label=key.capitalize(), type=AttributeType.STRING, filterable=True)
    for key in ("size", "gender", "condition", "material", "style")
)
"""What any listing may say of itself (S0), unless its category has stricter words for it."""


class ProductNotFoundError(NotFoundError):
    """Clients know listings as products (S2 §10.1)."""

    code = "PRODUCT_NOT_FOUND"


class InsufficientStockError(RuleViolatedError):
    code = "INSUFFICIENT_STOCK"


class ListingNotPublishableError(RuleViolatedError):
    code = "LISTING_NOT_PUBLISHABLE"


class ListingStatusError(RuleViolatedError):
    """It is not in a status from which that could be done."""

    code = "INVALID_STATUS_TRANSITION"


class ListingHiddenError(AlreadyExistsError):
    """An admin has taken it out of sight already (S0-ADM-01 answers 409)."""

    code = "LISTING_ALREADY_HIDDEN"


class ListingNotHiddenError(AlreadyExistsError):
    """There is nothing to show again (S0-ADM-02 answers 409)."""

    code = "LISTING_NOT_HIDDEN"


class ListingNotDeletedError(AlreadyExistsError):
    """There is nothing to restore (S1-ADM-03 answers 409)."""

    code = "LISTING_NOT_DELETED"


class ListingSoldError(AlreadyExistsError):
    """Somebody has it: there was only one (C6)."""

    code = "LISTING_SOLD"


class ListingInOrderError(StillReferencedError):
    code = "LISTING_IN_OPEN_ORDER"


class TooManyMediaError(RuleViolatedError):
    code = "TOO_MANY_MEDIA"


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """``stock`` units are on hand; ``reserved`` of them are promised to orders that are not paid yet.

    ``category_id`` is where it belongs, ``category`` that category's slug as it was then. ``images`` are pictures that
    others keep, by their addresses; ``media`` were uploaded to us. ``sold_from`` is the status that it was sold in.
    ``account_id`` is whose it is, where that is known; the house has none.
    ``low_from`` is the number of units at which its seller was told that there are but few, as long as there are.
    """

    id: ListingId
    number: int
    seller_id: SellerId
    slug: str
    title: str
    description: str
    price: Money
    discount_percentage: Decimal
    category_id: CategoryId
    category: str
    brand: str
    tags: tuple[str, ...]
    thumbnail: str
    images: tuple[str, ...]
    status: ListingStatus
    stock: int
    reserved: int
    sold_from: ListingStatus = ListingStatus.ACTIVE
    description_short: str = ""
    unique: bool = False
    attributes: dict[str, Any] = {}
    extras: dict[str, Any] = {}
    further_category_ids: tuple[CategoryId, ...] = ()
    location: PersonalLocation = None
    shipping_profile_id: UUID | None = None
    account_id: AccountId | None = None
    media: tuple[ListingMedia, ...] = ()
    former_slugs: tuple[str, ...] = ()
    expires_at: datetime | None = None
    moderation: Moderation = Moderation.VISIBLE
    moderation_reason: PersonalText = ""
    flags: tuple[str, ...] = ()
    flag_note: PersonalText = ""
    deleted_at: datetime | None = None
    low_from: int | None = None

    @property
    def available(self) -> int:
        return self.stock - self.reserved

    @property
    def sale_price(self) -> Money:
        """What one of it is sold for; promotions are the order's."""
        return self.price.less(self.discount_percentage)

    @property
    def category_ids(self) -> tuple[CategoryId, ...]:
        """All that it is in, the one where it belongs first."""
        return (self.category_id, *self.further_category_ids)

    @property
    def deleted(self) -> bool:
        return self.deleted_at is not None

    @property
    def in_sight(self) -> bool:
        """Whether everybody may know of it, whatever its status says."""
        return self.moderation is Moderation.VISIBLE and not self.deleted

    @property
    def on_sale(self) -> bool:
        return self.in_sight and self.status is ListingStatus.ACTIVE

    @property
    def readable(self) -> bool:
        """Whether everybody who has its address may read it: a sold one still tells what became of it (C27)."""
        return self.in_sight and self.status in (ListingStatus.ACTIVE, ListingStatus.SOLD)

    def is_untold_low_stock(self, threshold: int) -> bool:
        """Whether there are but few and its seller does not know. Of a unique thing there is never more than one."""
        return self.on_sale and not self.unique and self.available <= threshold and self.low_from is None

    def require_owned_by(self, caller: Caller) -> None:
        """The seller whose listing it is, or an admin (C25)."""
        if not caller.is_admin and self.seller_id != seller_of(caller.account_id):
            raise ForbiddenError("This is not your listing")

    def require_there_for(self, caller: Caller) -> None:
        """The same, of something that is not deleted: what is gone is gone for its seller too."""
        if self.deleted:
            raise ProductNotFoundError("Product not found")
        self.require_owned_by(caller)

    def require_editable_by(self, caller: Caller) -> None:
        """The same, of something that can still be edited: neither sold, nor taken away by an admin."""
        self.require_there_for(caller)
        if self.moderation is Moderation.REMOVED and not caller.is_admin:
            raise ForbiddenError(
                "The listing was removed by an admin", details={"reason": self.moderation_reason}
            )
        if self.status is ListingStatus.SOLD:
            raise ListingSoldError("The listing is sold", details={"productId": self.number})

    def publish(
        self,
        *,
        schema: Schema | None = None,
        category_open: bool = True,
        expires_at: datetime | None = None,
    ) -> list[ListingEvent]:
        """Bring it into the catalogue. ``schema`` is that of its category; none checks no attributes."""
        if self.status is ListingStatus.ACTIVE:
            return []
        if self.status is ListingStatus.SOLD:
            raise ListingSoldError("The listing is sold", details={"productId": self.number})
        self.require_publishable(schema, category_open=category_open)
        return [ListingPublished(listing_id=self.id, expires_at=expires_at)]

    def require_publishable(self, schema: Schema | None, *, category_open: bool = True) -> None:
        """C26: a picture, a description, whatever the category asks for, and a category that is seen itself."""
        missing = self._gaps()
        if not category_open:
            missing["category"] = ["Is not active"]
        if schema is not None:
            missing |= faults_of_attributes(described_by(schema), self.attributes)
        if missing:
            raise ListingNotPublishableError("The listing is not complete", details=missing)

    def _gaps(self) -> Faults:
        """What nothing is published without, whatever its category is."""
        missing: Faults = {}
        if not (self.images or self.thumbnail or self.media):
            missing["images"] = ["Must have at least one image"]
        if not (self.description or self.description_short):
            missing["description"] = ["Is required"]
        return missing

    def unpublish(self) -> list[ListingEvent]:
        if self.status is ListingStatus.SOLD:
            raise ListingSoldError("The listing is sold", details={"productId": self.number})
        return [] if self.status is ListingStatus.DRAFT else [ListingUnpublished(listing_id=self.id)]

    def expire(self, at: datetime) -> list[ListingEvent]:
        """Nothing unless its time is over: it may have been renewed since somebody looked."""
        if self.status is not ListingStatus.ACTIVE or self.expires_at is None or self.expires_at > at:
            return []
        return [ListingExpired(listing_id=self.id)]

    def renew(
        self, expires_at: datetime | None, *, schema: Schema | None = None, category_open: bool = True
    ) -> list[ListingEvent]:
        """Keep it for longer; or bring it back, for which it must be what a listing must be to be published."""
        if self.status not in (ListingStatus.ACTIVE, ListingStatus.EXPIRED):
            raise ListingStatusError(f"A listing that is {self.status} cannot be renewed")
        if self.status is ListingStatus.EXPIRED:
            self.require_publishable(schema, category_open=category_open)
        elif self.expires_at == expires_at:
            return []
        return [ListingRenewed(listing_id=self.id, expires_at=expires_at)]

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
        description_short: str | None = None,
        brand: str | None = None,
        tags: tuple[str, ...] | None = None,
        thumbnail: str | None = None,
        images: tuple[str, ...] | None = None,
        attributes: dict[str, Any] | None = None,
        extras: dict[str, Any] | None = None,
    ) -> list[ListingEvent]:
        """``attributes`` and ``extras`` are all of them, as they shall be."""
        description, description_short = self._described_as(description, description_short)
        thumbnail, images = self._pictured_by(thumbnail, images)
        asked = ListingDetailsChanged(
            listing_id=self.id,
            title=_changed(self.title, title),
            description=_changed(self.description, description),
            description_short=_changed(self.description_short, description_short),
            brand=_changed(self.brand, brand),
            tags=_changed(self.tags, tags),
            thumbnail=_changed(self.thumbnail, thumbnail),
            images=_changed(self.images, images),
            attributes=_changed(self.attributes, attributes),
            extras=_changed(self.extras, extras),
        )
        return [] if asked == ListingDetailsChanged(listing_id=self.id) else [asked]

    def _described_as(self, description: str | None, short: str | None) -> tuple[str | None, str | None]:
        """What says the same goes on saying the same: the one was made of the other when there was only one (C26)."""
        if short == self.description and not self.description_short:
            # Who was shown the one for the other sends it back.
            short = None
        if self.description == self.description_short:
            if description is None and short:
                description = short
            elif short is None and description:
                short = description
        if description == "":
            description = self.description_short if short is None else short
        return description, short

    def _pictured_by(
        self, thumbnail: str | None, images: tuple[str, ...] | None
    ) -> tuple[str | None, tuple[str, ...] | None]:
        """What was uploaded is no image of others; and a thumbnail that was the first image goes on being it."""
        if images is not None:
            images = tuple(address for address in images if not self._is_upload(address))
            if len(images) > MOST_MEDIA:
                raise InvalidInputError({"images": [f"Must have at most {MOST_MEDIA} entries"]})
        if thumbnail is not None and self._is_upload(thumbnail):
            thumbnail = None
        if thumbnail is None and images is not None and self.thumbnail == first_of(self.images):
            thumbnail = first_of(images)
        elif thumbnail == "":
            thumbnail = first_of(self.images if images is None else images)
        return thumbnail, images

    def _is_upload(self, address: str) -> bool:
        """Whether it is one of ours, which clients are shown among the images and may send back with them."""
        # By its own name and not by those of its variants: it may have been processed after it was attached.
        return any(f"/{media.media_id}/" in address for media in self.media)

    def change_terms(
        self,
        *,
        price: Money | None = None,
        percentage: Decimal | None = None,
        sale_price: Money | None = None,
    ) -> list[ListingEvent]:
        """What it costs. Of a discount that is said in both ways, the one that is as it was says nothing new."""
        after = self.price if price is None else price
        if percentage is not None and sale_price is not None:
            if sale_price == self.sale_price:
                sale_price = None
            elif percentage == self.discount_percentage:
                percentage = None
        events = self.change_price(after)
        meant = discount_meant(after, percentage, sale_price)
        return events if meant is None else [*events, *self.change_discount(meant)]

    def require_described(self, schema: Schema) -> None:
        """Its attributes are what its category knows. Once it is published, nothing may be missing in it any more."""
        complete = self.status is ListingStatus.ACTIVE
        faults = self._gaps() if complete else {}
        faults |= faults_of_attributes(described_by(schema), self.attributes, complete=complete)
        if faults:
            raise InvalidInputError(faults)

    def change_slug(self, slug: str) -> list[ListingEvent]:
        return [] if slug == self.slug else [ListingSlugChanged(listing_id=self.id, slug=slug)]

    def categorize(
        self, category_id: CategoryId, category: str, further: Sequence[CategoryId] = ()
    ) -> list[ListingEvent]:
        besides = tuple(each for each in dict.fromkeys(further) if each != category_id)
        if (category_id, *besides) == self.category_ids:
            return []
        return [
            ListingCategorized(
                listing_id=self.id,
                category_id=category_id,
                category=category,
                further_category_ids=besides,
            )
        ]

    def relocate(self, location: Location | None) -> list[ListingEvent]:
        place = None if location is None else blurred(location)
        if place == self.location:
            return []
        return [ListingRelocated(listing_id=self.id, location=place, account_id=self.account_id)]

    def choose_shipping(self, profile_id: UUID | None) -> list[ListingEvent]:
        if profile_id == self.shipping_profile_id:
            return []
        return [ListingShippingChosen(listing_id=self.id, shipping_profile_id=profile_id)]

    def attach_media(self, media: ListingMedia, index: int | None = None) -> list[ListingEvent]:
        """Show a picture, before the one that has place ``index`` now, or behind all others."""
        if any(shown.media_id == media.media_id for shown in self.media):
            return []
        if len(self.media) >= MOST_MEDIA:
            fault = {"images": [f"Must be at most {MOST_MEDIA}"]}
            raise TooManyMediaError(f"A listing has at most {MOST_MEDIA} pictures", details=fault)
        place = len(self.media) if index is None else min(index, len(self.media))
        return [ListingMediaAttached(listing_id=self.id, media=media, index=place)]

    def reorder_media(self, media_ids: Sequence[MediaId]) -> list[ListingEvent]:
        shown = [media.media_id for media in self.media]
        if len(set(media_ids)) < len(media_ids) or set(media_ids) != set(shown):
            raise InvalidInputError({"imageIds": ["Must name each picture of the listing once"]})
        if list(media_ids) == shown:
            return []
        return [ListingMediaReordered(listing_id=self.id, media_ids=tuple(media_ids))]

    def detach_media(self, media_id: MediaId) -> list[ListingEvent]:
        if all(media.media_id != media_id for media in self.media):
            return []
        return [ListingMediaDetached(listing_id=self.id, media_id=media_id)]

    def adjust_stock(self, stock: int) -> list[ListingEvent]:
        """Count ``stock`` units on hand; those that open orders hold must be among them."""
        if stock < self.reserved:
            raise InsufficientStockError(
                f"{self.reserved} units are reserved by open orders",
                details={"stock": [f"Must be at least {self.reserved}"]},
            )
        require_only_one(stock, unique=self.unique)
        return [] if stock == self.stock else [StockAdjusted(listing_id=self.id, stock=stock)]

    def require_purchasable(self, quantity: int) -> None:
        if self.in_sight and self.status is ListingStatus.SOLD:
            raise ListingSoldError("The listing is sold", details={"productId": self.number})
        if not self.on_sale:
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
        """The reserved units are paid. Of a unique thing there is none left then, and it is sold."""
        committed = StockCommitted(listing_id=self.id, order_id=order_id, quantity=quantity)
        if self.unique and self.stock == quantity:
            return [committed, ListingSold(listing_id=self.id, order_id=order_id)]
        return [committed]

    def release(self, order_id: OrderId, quantity: int) -> list[ListingEvent]:
        """The reserved units were not paid after all."""
        return [StockReservationReleased(listing_id=self.id, order_id=order_id, quantity=quantity)]

    def restore_stock(self, order_id: OrderId, quantity: int) -> list[ListingEvent]:
        """Paid units came back; a unique thing is again what it was before: on sale, unless it was withdrawn."""
        return [StockRestored(listing_id=self.id, order_id=order_id, quantity=quantity)]

    def hide(self, reason: str) -> list[ListingEvent]:
        if self.moderation is not Moderation.VISIBLE:
            raise ListingHiddenError(f"The listing is {self.moderation} already")
        return [ListingHidden(listing_id=self.id, reason=reason, account_id=self.account_id)]

    def unhide(self) -> list[ListingEvent]:
        if self.moderation is not Moderation.HIDDEN:
            raise ListingNotHiddenError("The listing is not hidden")
        return [ListingUnhidden(listing_id=self.id)]

    def remove(self, reason: str) -> list[ListingEvent]:
        """By an admin, for good."""
        if self.moderation is Moderation.REMOVED:
            return []
        return [ListingRemoved(listing_id=self.id, reason=reason, account_id=self.account_id)]

    def flag(self, flags: tuple[str, ...], note: str) -> list[ListingEvent]:
        if (flags, note) == (self.flags, self.flag_note):
            return []
        return [ListingFlagged(listing_id=self.id, flags=flags, note=note, account_id=self.account_id)]

    def delete(self, at: datetime, reason: str = "") -> list[ListingEvent]:
        """Soft: everything else about it stays as it is. Who waits for a payment must get what they were promised."""
        if self.deleted:
            return []
        if self.reserved:
            raise ListingInOrderError(
                f"{self.reserved} units are reserved by open orders", details={"reserved": self.reserved}
            )
        deleted = ListingDeleted(listing_id=self.id, deleted_at=at, reason=reason, account_id=self.account_id)
        return [deleted]

    def restore(self) -> list[ListingEvent]:
        if not self.deleted and self.moderation is not Moderation.REMOVED:
            raise ListingNotDeletedError("The listing is neither deleted nor removed")
        return [ListingRestored(listing_id=self.id)]

    @classmethod
    def evolve(cls, listing: Listing | None, event: ListingEvent) -> Listing:
        if isinstance(event, ListingCreated):
            return cls._created(event)
        assert listing is not None, "a listing's first event is ListingCreated"
        match event:
            case StockReserved(quantity=quantity):
                return replace(listing, reserved=listing.reserved + quantity)
            case StockCommitted(quantity=quantity):
                return replace(listing, reserved=listing.reserved - quantity, stock=listing.stock - quantity)
            case StockReservationReleased(quantity=quantity):
                return _grown(replace(listing, reserved=listing.reserved - quantity))
            case StockRestored(quantity=quantity):
                was_sold = listing.status is ListingStatus.SOLD
                status = listing.sold_from if was_sold else listing.status
                return _grown(replace(listing, stock=listing.stock + quantity, status=status))
            case StockAdjusted(stock=stock):
                return _grown(replace(listing, stock=stock))
            case LowStockReached(threshold=threshold):
                return replace(listing, low_from=threshold)
            case ListingPublished(expires_at=expires_at) | ListingRenewed(expires_at=expires_at):
                return replace(listing, status=ListingStatus.ACTIVE, expires_at=expires_at)
            case ListingUnpublished():
                return replace(listing, status=ListingStatus.DRAFT, expires_at=None)
            case ListingExpired():
                return replace(listing, status=ListingStatus.EXPIRED)
            case ListingSold():
                return replace(listing, status=ListingStatus.SOLD, sold_from=listing.status)
            case ListingPriceChanged(price=price):
                return replace(listing, price=price)
            case ListingDiscountChanged(discount_percentage=percentage):
                return replace(listing, discount_percentage=percentage)
            case ListingDetailsChanged():
                return replace(listing, **changed_details(event))
            case ListingSlugChanged(slug=slug):
                former = dict.fromkeys((*listing.former_slugs, listing.slug))
                former.pop(slug, None)
                return replace(listing, slug=slug, former_slugs=tuple(former))
            case ListingCategorized():
                return replace(
                    listing,
                    category_id=event.category_id,
                    category=event.category,
                    further_category_ids=event.further_category_ids,
                )
            case ListingRelocated(location=location):
                return replace(listing, location=location)
            case ListingShippingChosen(shipping_profile_id=profile_id):
                return replace(listing, shipping_profile_id=profile_id)
            case ListingMediaAttached(media=media, index=index):
                return replace(listing, media=(*listing.media[:index], media, *listing.media[index:]))
            case ListingMediaReordered(media_ids=media_ids):
                by_id = {media.media_id: media for media in listing.media}
                return replace(listing, media=tuple(by_id[media_id] for media_id in media_ids))
            case ListingMediaDetached(media_id=gone):
                return replace(listing, media=tuple(each for each in listing.media if each.media_id != gone))
            case ListingHidden(reason=reason):
                return replace(listing, moderation=Moderation.HIDDEN, moderation_reason=reason)
            case ListingUnhidden():
                return replace(listing, moderation=Moderation.VISIBLE, moderation_reason="")
            case ListingRemoved(reason=reason):
                return replace(listing, moderation=Moderation.REMOVED, moderation_reason=reason)
            case ListingFlagged(flags=flags, note=note):
                return replace(listing, flags=flags, flag_note=note)
            case ListingDeleted(deleted_at=deleted_at):
                return replace(listing, deleted_at=deleted_at)
            case ListingRestored():
                removed = listing.moderation is Moderation.REMOVED
                moderation = Moderation.VISIBLE if removed else listing.moderation
                reason = "" if removed else listing.moderation_reason
                return replace(listing, deleted_at=None, moderation=moderation, moderation_reason=reason)
            case _:
                assert_never(event)

    @classmethod
    def _created(cls, event: ListingCreated) -> Listing:
        return cls(
            id=event.listing_id,
            number=event.number,
            seller_id=event.seller_id,
            slug=event.slug,
            title=event.title,
            description=event.description,
            price=event.price,
            discount_percentage=event.discount_percentage,
            category_id=event.category_id,
            category=event.category,
            brand=event.brand,
            tags=event.tags,
            thumbnail=event.thumbnail,
            images=event.images,
            status=ListingStatus.DRAFT,
            stock=event.stock,
            reserved=0,
            description_short=event.description_short,
            unique=event.unique,
            attributes=event.attributes,
            extras=event.extras,
            further_category_ids=event.further_category_ids,
            location=event.location,
            shipping_profile_id=event.shipping_profile_id,
            account_id=event.account_id,
        )


def _grown(listing: Listing) -> Listing:
    """Once there are enough again, its seller is told the next time that there are but few."""
    if listing.low_from is None or listing.available <= listing.low_from:
        return listing
    return replace(listing, low_from=None)


def require_only_one(stock: int, *, unique: bool) -> None:
    """What is sold once and for all cannot be had by two."""
    if unique and stock > 1:
        raise InvalidInputError({"stock": ["There is only one of it"]})


def described_by(schema: Schema) -> Schema:
    """All that a listing of a category with this schema can say of itself."""
    defined = {attribute.key for attribute in schema}
    return (*schema, *(attribute for attribute in COMMON if attribute.key not in defined))


def merged(known: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is known by each key, with what is given instead; what is given as ``None`` is gone."""
    return {key: value for key, value in {**known, **given}.items() if value is not None}


def said_of(
    known: Mapping[str, Any], attributes: Mapping[str, Any], common: Mapping[str, Any]
) -> dict[str, Any]:
    """All attributes, of those that are given in either way: of one that is, what is as it was says nothing new."""
    newer = {
        key: value
        for key, value in common.items()
        if key not in attributes or attributes[key] == known.get(key)
    }
    return merged(known, {**attributes, **newer})


def blurred(location: Location) -> Location:
    """About a kilometre off: people live there."""
    return replace(location, lat=round(location.lat, 2), lng=round(location.lng, 2))


def first_of(images: Sequence[str]) -> str:
    return images[0] if images else ""


def expiry_of(kind: SellerKind | None, now: datetime, lifetime: timedelta) -> datetime | None:
    """Until when something that comes into the catalogue stays there.

    What people offer is forgotten by them, and goes by itself. The house and shops keep a catalogue, which does not
    (A25), and of a seller without events nobody knows which it is.
    """
    return now + lifetime if kind is SellerKind.PERSONAL else None


def discount_meant(price: Money, percentage: Decimal | None, sale_price: Money | None) -> Decimal | None:
    """The discount of which ``sale_price`` is the other way to say it (C26); none where neither is given."""
    if sale_price is None:
        return percentage
    if sale_price > price:
        raise InvalidInputError({"salePrice": ["Must be at most the price"]})
    if percentage is None:
        return price.percent_down_to(sale_price)
    if price.less(percentage) != sale_price:
        raise InvalidInputError({"salePrice": ["Must be the price less the discountPercentage"]})
    return percentage


def _changed(old: T, new: T | None) -> T | None:
    return None if new == old else new


LISTINGS: Decider[Listing, ListingEvent] = Decider("listings", Listing.evolve, snapshot=Listing)
"""What can happen to a listing."""
