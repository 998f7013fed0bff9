"""Questions to the list of reviews."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.reviews.review import Review
from projections.ports import Reads
from projections.reviews.projector import ShownReview
from projections.wire import masked_email, time

_DECODER: Final = msgspec.json.Decoder(ShownReview)
_COLUMNS: Final = "r.document, p.number, p.title, p.visible"
_FROM: Final = "FROM reviews r LEFT JOIN products p ON p.key = r.listing_id"


class SortReviews(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    RATING = "rating"
    RATING_DESC = "rating_desc"
    RATING_ASC = "rating_asc"


_ORDER: Final = {
    SortReviews.NEWEST: "submitted_at DESC, number DESC",
    SortReviews.OLDEST: "submitted_at, number",
    SortReviews.RATING: "rating DESC, submitted_at DESC, number DESC",
    SortReviews.RATING_DESC: "rating DESC, submitted_at DESC, number DESC",
    SortReviews.RATING_ASC: "rating, submitted_at, number",
}


class FoundReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review, and what it is about."""

    review: ShownReview
    product_number: int
    product_title: str
    product_visible: bool

    @property
    def visible(self) -> bool:
        """For everybody."""
        return self.product_visible and not self.review.review.hidden


class ReviewedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product, who may see it, and how many reviews of it can be seen: the catalogue knows without counting."""

    id: UUID
    number: int
    visible: bool
    seller_id: UUID
    review_count: int


class ReviewPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    reviews: Sequence[FoundReview]


async def review_by(reads: Reads, review_id: UUID) -> FoundReview | None:
    row = await reads.one(f"SELECT {_COLUMNS} {_FROM} WHERE r.key = %s", review_id)
    return None if row is None else _found(row)


async def reviewed_product(reads: Reads, reference: int | UUID | str) -> ReviewedProduct | None:
    """The product of an integer id, a uuid or a slug."""
    match reference:
        case int():
            condition = "number = %s"
        case UUID():
            condition = "key = %s"
        case _:
            condition = "slug = %s"
    row = await reads.one(
        f"SELECT key, number, visible, seller_id, review_count FROM products WHERE {condition}", reference
    )
    if row is None:
        return None
    key, number, visible, seller_id, review_count = row
    return ReviewedProduct(
        id=key, number=number, visible=visible, seller_id=seller_id, review_count=review_count
    )


async def reviews_of(
    reads: Reads, product: ReviewedProduct, sort: SortReviews, skip: int, limit: int
) -> ReviewPage:
    """Those that can be seen."""
    rows = await reads.all(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT document, listing_id, row_number() OVER (ORDER BY {_ORDER[sort]}) AS place FROM reviews
            WHERE listing_id = %s AND NOT hidden ORDER BY {_ORDER[sort]} OFFSET %s LIMIT %s
        ) r LEFT JOIN products p ON p.key = r.listing_id ORDER BY r.place
        """,
        product.id,
        skip,
        limit,
    )
    return ReviewPage(total=product.review_count, reviews=[_found(row) for row in rows])


async def reviews_by(reads: Reads, person: UUID, skip: int, limit: int) -> ReviewPage:
    """All that somebody said of products, hidden or not, the last first."""
    return await _page(reads, "reviewer_id = %s", [person], skip, limit)


async def reviews_to_moderate(reads: Reads, hidden: bool | None, skip: int, limit: int) -> ReviewPage:
    """Of all products, the last first; ``hidden`` none means whether they are or not."""
    condition, parameters = ("true", []) if hidden is None else ("hidden = %s", [hidden])
    return await _page(reads, condition, parameters, skip, limit)


async def _page(reads: Reads, condition: str, parameters: Sequence[Any], skip: int, limit: int) -> ReviewPage:
    order = _ORDER[SortReviews.NEWEST]
    counted = await reads.one(f"SELECT count(*) FROM reviews WHERE {condition}", *parameters)
    assert counted is not None
    rows = await reads.all(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT document, listing_id, row_number() OVER (ORDER BY {order}) AS place FROM reviews
            WHERE {condition} ORDER BY {order} OFFSET %s LIMIT %s
        ) r LEFT JOIN products p ON p.key = r.listing_id ORDER BY r.place
        """,
        *parameters,
        skip,
        limit,
    )
    return ReviewPage(total=counted[0], reviews=[_found(row) for row in rows])


def review_body(review: Review, product_number: int, *, whole_email: bool) -> dict[str, Any]:
    """S2 §9.1, and what is known besides. Only its writer and admins read the address as a whole (C41)."""
    email = review.reviewer_email
    return {
        "id": review.number,
        "uuid": str(review.id),
        "productId": product_number,
        "productUuid": str(review.listing_id),
        "rating": review.rating,
        "comment": review.comment,
        "date": f"{review.submitted_at:%Y-%m-%d}",
        "createdAt": time(review.submitted_at),
        "updatedAt": time(review.edited_at or review.submitted_at),
        "reviewerName": review.reviewer_name,
        "reviewerEmail": email if whole_email else masked_email(email),
        "verifiedPurchase": review.verified_purchase,
        "status": "hidden" if review.hidden else "visible",
    }


def _found(row: tuple[Any, ...]) -> FoundReview:
    document, number, title, visible = row
    return FoundReview(
        review=_DECODER.decode(document),
        product_number=number or 0,
        product_title=title or "",
        product_visible=bool(visible),
    )
