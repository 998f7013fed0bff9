"""Reviewing a product: one decision over the product, its seller, the reviewer, and what they said and bought."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.accounts.account import Account, UserNotFoundError
from domain.claims.claim import Claim
from domain.claims.events import ClaimEvent
from domain.kernel import ReviewId
from domain.listings.listing import Listing, ProductNotFoundError
from domain.placing import require_on_sale
from domain.reviews.events import ReviewSubmitted
from domain.reviews.purchase import Purchase
from domain.reviews.review import AlreadyReviewedError, ReviewingOneselfError, require_sayable
from domain.sellers.events import seller_of
from domain.sellers.seller import Seller

ONLY_REVIEW = "only-review"


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to say, and the id that it gets."""

    id: ReviewId
    number: int
    rating: int
    comment: str
    at: datetime


def review_of(
    listing: Listing | None,
    opinion: Opinion,
    *,
    seller: Seller | None,
    reviewer: Account | None,
    claim: Claim | None,
    purchase: Purchase | None,
) -> tuple[ReviewSubmitted, Sequence[ClaimEvent]]:
    """The review, and that it is the reviewer's only one of the product."""
    product = visible(listing, seller)
    reviewer = there(reviewer)
    if product.seller_id == seller_of(reviewer.id):
        raise ReviewingOneselfError("You cannot review what you sell")
    require_sayable(opinion.rating, opinion.comment)
    claimed = Claim.take(claim, ONLY_REVIEW, opinion.id)
    if not claimed:
        raise AlreadyReviewedError("You have already reviewed this product")
    submitted = ReviewSubmitted(
        review_id=opinion.id,
        number=opinion.number,
        listing_id=product.id,
        reviewer_id=reviewer.id,
        rating=opinion.rating,
        comment=opinion.comment,
        reviewer_name=reviewer.shown_name,
        reviewer_email=reviewer.email,
        submitted_at=opinion.at,
        verified_purchase=purchase is not None,
    )
    return submitted, claimed


def there(reviewer: Account | None) -> Account:
    """Who says something. What is recorded of somebody who is erased already could never be forgotten again."""
    if reviewer is None or reviewer.erased:
        raise UserNotFoundError("User not found")
    return reviewer


def visible(listing: Listing | None, seller: Seller | None) -> Listing:
    """What everybody sees, whether there is any left or not."""
    if listing is None or not listing.on_sale:
        raise ProductNotFoundError("Product not found")
    require_on_sale(listing, seller)
    return listing
