"""A product: a listing with what is said of it, and its shape on the wire (S2 §5.2, DummyJSON's fields beside)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from domain.listings.events import ListingStatus
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.pricing import line_totals
from projections.wire import masked_email, time


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """A review, as far as the product shows it."""

    number: int
    reviewer_id: UUID
    rating: int
    comment: str
    reviewer_name: str
    reviewer_email: str
    submitted_at: datetime
    imported: bool


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """``hidden`` is what its seller's being suspended or gone makes it, whatever becomes of the listing meanwhile."""

    listing: Listing
    created_at: datetime
    updated_at: datetime
    imported_rating: Decimal | None
    extras: dict[str, Any]
    reviews: tuple[Opinion, ...] = ()
    hidden: bool = False

    @property
    def rating(self) -> float:
        """The mean of the reviews to one decimal; of an imported product what it came with, until we know better."""
        own = [review for review in self.reviews if not review.imported]
        if not own and self.imported_rating is not None:
            return float(self.imported_rating)
        return (
            round(sum(review.rating for review in self.reviews) / len(self.reviews), 1) if self.reviews else 0
        )

    @property
    def visible(self) -> bool:
        return self.listing.status is ListingStatus.ACTIVE and not self.hidden


def product_body(product: Product) -> dict[str, Any]:
    """A product as clients read it."""
    return {
        **listing_body(product.listing),
        "rating": product.rating,
        "reviews": [_review_body(review) for review in product.reviews],
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
        "rating": review.rating,
        "comment": review.comment,
        "date": f"{review.submitted_at:%Y-%m-%d}",
        "createdAt": time(review.submitted_at),
        "reviewerName": review.reviewer_name,
        "reviewerEmail": masked_email(review.reviewer_email),
    }
