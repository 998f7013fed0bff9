"""Questions to the list of reviews."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.reviews.review import Review
from projections.keyset import Piece, Question, Sorting, Values
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


_NEWEST: Final = Sorting(by=("submitted_at", "number"), descending=True, types=("timestamptz", "bigint"))
_BEST: Final = Sorting(
    by=("rating", "submitted_at", "number"), descending=True, types=("integer", "timestamptz", "bigint")
)
_ORDER: Final = {
    SortReviews.NEWEST: _NEWEST,
    SortReviews.OLDEST: replace(_NEWEST, descending=False),
    SortReviews.RATING: _BEST,
    SortReviews.RATING_DESC: _BEST,
    SortReviews.RATING_ASC: replace(_BEST, descending=False),
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
    last: Values | None = None


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


async def reviews_of(reads: Reads, product: ReviewedProduct, sort: SortReviews, piece: Piece) -> ReviewPage:
    """Those that can be seen."""
    condition, listing = "listing_id = %s AND NOT hidden", [product.id]
    found = await _page(reads, condition, listing, _ORDER[sort], replace(piece, counted=False))
    return replace(found, total=product.review_count)


async def reviews_by(reads: Reads, person: UUID, piece: Piece) -> ReviewPage:
    """All that somebody said of products, hidden or not, the last first."""
    return await _page(reads, "reviewer_id = %s", [person], _NEWEST, piece)


async def reviews_to_moderate(reads: Reads, hidden: bool | None, piece: Piece) -> ReviewPage:
    """Of all products, the last first; ``hidden`` none means whether they are or not."""
    condition, parameters = ("true", []) if hidden is None else ("hidden = %s", [hidden])
    return await _page(reads, condition, parameters, _NEWEST, piece)


async def _page(
    reads: Reads, condition: str, parameters: Sequence[Any], sorting: Sorting, piece: Piece
) -> ReviewPage:
    question = Question(
        columns="document, listing_id",
        source="reviews",
        where=condition,
        parameters=parameters,
        beside="LEFT JOIN products p ON p.key = page.listing_id",
        shown="page.document, p.number, p.title, p.visible",
    )
    found = await question.ask(reads, sorting, piece)
    return ReviewPage(total=found.total, reviews=[_found(row) for row in found.rows], last=found.last)


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
