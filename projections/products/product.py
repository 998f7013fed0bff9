"""A product: a listing with what is said of it, and its shape on the wire (S2 §5.2, DummyJSON's fields beside)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.kernel import MediaId, ReviewId
from domain.listings.events import ListingMedia, Location
from domain.listings.listing import COMMON, Listing
from domain.media.events import Variant
from domain.money import Money
from domain.orders.pricing import line_totals
from projections.numbers import number_behind
from projections.wire import masked_email, time

SHOWN: Final = 20
"""How many reviews a product shows, the newest. There may be very many: the rest are asked for in pages."""

KEPT: Final = 2 * SHOWN
"""How many it knows, so that there are still enough to be shown after some of them are hidden or deleted."""

LOW_STOCK: Final = 5
"""Units up to which there are but few (A25)."""

MEDIA_ADDRESS: Final = "media:///"
"""Stands in ready bodies for the public address of the object store, which only who serves them knows."""

THUMBNAIL: Final = "thumbnail"

_COMMON: Final = tuple(attribute.key for attribute in COMMON)
_AVAILABILITY: Final = "availabilityStatus"

Address = Callable[[str], str]
"""Where everybody finds a file by its key."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A review, as far as the product shows it."""

    id: ReviewId
    number: int
    reviewer_id: UUID
    rating: int
    comment: str
    reviewer_name: str
    reviewer_email: str
    submitted_at: datetime
    imported: bool
    verified_purchase: bool = False
    hidden: bool = False


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """``hidden`` is what its seller's being suspended or gone makes it, whatever becomes of the listing meanwhile.

    ``version`` is that of the listing's stream, which ``If-Match`` is about. ``low_stock`` is the number of units up
    to which there are but few of it. ``review_count`` and ``rating_sum`` are of all reviews that can be seen,
    ``own_count`` of those that were written here. ``opinions`` are the last few in the order in which they came.
    """

    listing: Listing
    created_at: datetime
    updated_at: datetime
    imported_rating: Decimal | None
    version: int = 1
    low_stock: int = LOW_STOCK
    published_at: datetime | None = None
    sold_at: datetime | None = None
    collections: tuple[UUID, ...] = ()
    failed_media: tuple[MediaId, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    review_count: int = 0
    rating_sum: int = 0
    own_count: int = 0
    hidden: bool = False

    @property
    def rating(self) -> float:
        """The mean of the reviews to one decimal; of an imported product what it came with, until we know better."""
        if not self.own_count and self.imported_rating is not None:
            return float(self.imported_rating)
        return round(self.rating_sum / self.review_count, 1) if self.review_count else 0

    @property
    def shown_reviews(self) -> Sequence[Opinion]:
        return [opinion for opinion in self.opinions if not opinion.hidden][-SHOWN:]

    @property
    def visible(self) -> bool:
        """Whether everybody finds it."""
        return self.listing.on_sale and not self.hidden

    @property
    def readable(self) -> bool:
        """Whether everybody who has its address may read it."""
        return self.listing.readable and not self.hidden


def product_body(product: Product) -> dict[str, Any]:
    """A product as everybody reads it. What it says first is what whoever looks at ready bodies looks for."""
    return {
        **listing_body(product.listing, low_stock=product.low_stock, failed_media=product.failed_media),
        "collections": [number_behind("collection", each) for each in product.collections],
        "rating": product.rating,
        "reviewCount": product.review_count,
        "reviews": [_review_body(review) for review in product.shown_reviews],
        "publishedAt": _time_or_none(product.published_at),
        "soldAt": _time_or_none(product.sold_at),
        "createdAt": time(product.created_at),
        "updatedAt": time(product.updated_at),
    }


def listing_body(
    listing: Listing,
    address: Address = MEDIA_ADDRESS.__add__,
    *,
    low_stock: int = LOW_STOCK,
    failed_media: Sequence[MediaId] = (),
) -> dict[str, Any]:
    """What the listing itself knows of the product; all that a command answers with."""
    available = listing.available
    pictures = [_picture_body(media, address, failed_media) for media in listing.media]
    uploaded = [picture["url"] for picture in pictures if picture["url"]]
    images = [*uploaded, *listing.images]
    common = {key: listing.attributes[key] for key in _COMMON if key in listing.attributes}
    own = {
        "id": listing.number,
        "uuid": str(listing.id),
        "slug": listing.slug,
        "title": listing.title,
        "description": listing.description or listing.description_short,
        "descriptionShort": listing.description_short or listing.description,
        "category": listing.category,
        "categoryId": number_behind("category", listing.category_id),
        "categories": [number_behind("category", each) for each in listing.category_ids],
        "price": listing.price.units(),
        "currency": listing.price.currency,
        "discountPercentage": float(listing.discount_percentage),
        "salePrice": sale_price(listing).units(),
        "stock": available,
        "inStock": available > 0,
        _AVAILABILITY: availability(available, low_stock),
        "unique": listing.unique,
        "tags": listing.tags,
        "brand": listing.brand,
        "attributes": listing.attributes,
        **common,
        "images": images,
        "thumbnail": listing.thumbnail or _thumbnail(listing.media, address) or (images or [""])[0],
        "media": [
            {**picture, "position": place, "isThumbnail": place == 0 and not listing.thumbnail}
            for place, picture in enumerate(pictures)
        ],
        "sellerId": str(listing.seller_id),
        "status": listing.status,
        "location": None if listing.location is None else _location_body(listing.location),
        "shippingProfileId": None
        if listing.shipping_profile_id is None
        else str(listing.shipping_profile_id),
        "expiresAt": _time_or_none(listing.expires_at),
    }
    return {**own, **{name: value for name, value in listing.extras.items() if name not in own}}


def kept_body(listing: Listing, *, for_admins: bool) -> dict[str, Any]:
    """What its seller and admins read of it besides; what admins have noted is for them alone."""
    return {
        "moderation": listing.moderation,
        "moderationReason": listing.moderation_reason,
        "flags": listing.flags,
        **({"flagNote": listing.flag_note} if for_admins else {}),
        "isDeleted": listing.deleted,
        "deletedOn": _time_or_none(listing.deleted_at),
    }


def sale_price(listing: Listing) -> Money:
    """What one of it is sold for; promotions are the order's."""
    return line_totals(listing.price, listing.discount_percentage, 1)[1]


def availability(available: int, low_stock: int) -> str:
    """DummyJSON's words for it."""
    if available <= 0:
        return "Out of Stock"
    return "Low Stock" if available <= low_stock else "In Stock"


def low_stock_of(listing: Listing) -> int:
    """Up to how many units there are but few of it.

    DummyJSON calls up to 5 units low, 8 and more not, and some of 6 or 7 one and some the other. What came from there
    as low at that many stays so, until there are more.
    """
    came_as_low = listing.extras.get(_AVAILABILITY) == "Low Stock"
    return max(LOW_STOCK, listing.stock) if came_as_low else LOW_STOCK


def facts_of(listing: Listing) -> list[str]:
    """``size=M``: what it says of itself, so that it can be found by it; one for each of several values."""
    facts: list[str] = []
    for key, value in listing.attributes.items():
        values = value if isinstance(value, list | tuple) else (value,)
        facts.extend(f"{key}={_plain(each)}" for each in values)
    return facts


def spellings(value: str) -> set[str]:
    """A value that is asked for: as it is given, and as facts have it if it is a number."""
    try:
        return {value, f"{float(value):g}"}
    except ValueError:
        return {value}


def features_of(listing: Listing) -> list[str]:
    """What it says of itself, for those who look for it by words: ``size M``, ``waterproof``; not what it is not."""
    said = [fact.partition("=") for fact in facts_of(listing)]
    return [key if value == "true" else f"{key} {value}" for key, _, value in said if value != "false"]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, int | float | Decimal) else str(value)


def _picture_body(media: ListingMedia, address: Address, failed: Sequence[MediaId]) -> dict[str, Any]:
    """C-3. It has no address before it is processed: what was sent is never shown itself."""
    largest = max(media.variants, key=lambda variant: variant.width * variant.height, default=None)
    status = "ready" if media.variants else "failed" if media.media_id in failed else "processing"
    return {
        "mediaId": str(media.media_id),
        "status": status,
        "url": "" if largest is None else address(largest.key),
        "mimeType": media.mime_type if largest is None else largest.mime_type,
        "size": media.size if largest is None else largest.size,
        "width": media.width,
        "height": media.height,
        "variants": [_variant_body(variant, address) for variant in media.variants],
    }


def _variant_body(variant: Variant, address: Address) -> dict[str, Any]:
    return {
        "name": variant.name,
        "url": address(variant.key),
        "mimeType": variant.mime_type,
        "width": variant.width,
        "height": variant.height,
        "size": variant.size,
    }


def _thumbnail(pictures: Sequence[ListingMedia], address: Address) -> str:
    """The first picture that can be shown, small."""
    for media in pictures:
        for variant in sorted(media.variants, key=lambda each: (each.name != THUMBNAIL, each.width)):
            return address(variant.key)
    return ""


def _location_body(location: Location) -> dict[str, Any]:
    return {"lat": location.lat, "lng": location.lng, "city": location.city}


def _review_body(review: Opinion) -> dict[str, Any]:
    return {
        "id": review.number,
        "uuid": str(review.id),
        "rating": review.rating,
        "comment": review.comment,
        "date": f"{review.submitted_at:%Y-%m-%d}",
        "createdAt": time(review.submitted_at),
        "reviewerName": review.reviewer_name,
        "reviewerEmail": masked_email(review.reviewer_email),
        "verifiedPurchase": review.verified_purchase,
    }


def _time_or_none(at: datetime | None) -> str | None:
    return None if at is None else time(at)
