"""A product: a listing with what is said of it, and its shape on the wire (S2 §5.2, DummyJSON's fields beside)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.kernel import ReviewId
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.pricing import line_totals
from projections.wire import masked_email, time

SHOWN: Final = 20
"""How many reviews a product shows, the newest. There may be very many: the rest are asked for in pages."""

KEPT: Final = 2 * SHOWN
"""How many it knows, so that there are still enough to be shown after some of them are hidden or deleted."""


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

    ``review_count`` and ``rating_sum`` are of all reviews that can be seen, ``own_count`` of those that were written
    here. ``opinions`` are the last few in the order in which they came.
    """

    listing: Listing
    created_at: datetime
    updated_at: datetime
    imported_rating: Decimal | None
    extras: dict[str, Any]
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
        return self.listing.on_sale and not self.hidden


def product_body(product: Product) -> dict[str, Any]:
    """A product as clients read it."""
    return {
        **listing_body(product.listing),
        "rating": product.rating,
        "reviewCount": product.review_count,
        "reviews": [_review_body(review) for review in product.shown_reviews],
        "createdAt": time(product.created_at),
        "updatedAt": time(product.updated_at),
        **product.extras,
    }


def listing_body(listing: Listing) -> dict[str, Any]:
    """What the listing itself knows of the product; all that a command answers with."""
    return {
        "id": listing.number,
        "uuid": str(listing.id),
        "slug": listing.slug,
        "title": listing.title,
        "description": listing.description,
        "category": listing.category,
        "price": listing.price.units(),
        "currency": listing.price.currency,
        "discountPercentage": float(listing.discount_percentage),
        "salePrice": sale_price(listing).units(),
        "stock": listing.available,
        "inStock": listing.available > 0,
        "tags": listing.tags,
        "brand": listing.brand,
        "images": listing.images,
        "thumbnail": listing.thumbnail,
        "sellerId": str(listing.seller_id),
        "status": listing.status,
    }


def sale_price(listing: Listing) -> Money:
    """What one of it is sold for; promotions are the order's."""
    return line_totals(listing.price, listing.discount_percentage, 1)[1]


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
