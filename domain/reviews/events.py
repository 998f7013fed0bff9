"""What can happen to a review, and what makes its writer a buyer."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from domain.kernel import AccountId, Event, ListingId, OrderId, PersonalText, ReviewId, stream_id


def purchase_of(account_id: UUID, listing_id: ListingId) -> UUID:
    """The stream that says whether somebody has bought something."""
    return stream_id("purchase", f"{account_id}:{listing_id}")


def only_review_of(account_id: UUID, listing_id: ListingId) -> UUID:
    """The claim of the one review that somebody may write of something."""
    return stream_id("only-review", f"{account_id}:{listing_id}")


class ReviewSubmitted(Event, frozen=True, kw_only=True, tag="review_submitted"):
    """``reviewer_id`` is the account's id, or stands for somebody who never had one here (imported reviews).

    The comment was not stored as a personal text at first. Whatever was stored plainly is still read so.
    """

    subject = "reviewer_id"

    review_id: ReviewId
    number: int
    listing_id: ListingId
    reviewer_id: UUID
    rating: int
    comment: PersonalText
    reviewer_name: PersonalText
    reviewer_email: PersonalText
    submitted_at: datetime
    imported: bool = False
    verified_purchase: bool = False


class ReviewEdited(Event, frozen=True, kw_only=True, tag="review_edited"):
    """All that it says now; ``former_rating`` is what a mean no longer counts."""

    subject = "reviewer_id"

    review_id: ReviewId
    listing_id: ListingId
    reviewer_id: UUID
    rating: int
    former_rating: int
    comment: PersonalText
    edited_at: datetime


class ReviewPurchaseVerified(Event, frozen=True, kw_only=True, tag="review_purchase_verified"):
    """Its writer has paid for the product since."""

    review_id: ReviewId
    listing_id: ListingId


class ReviewHidden(Event, frozen=True, kw_only=True, tag="review_hidden"):
    """An admin took it out of sight and out of the mean; only its writer and admins read the ``reason``."""

    subject = "reviewer_id"

    review_id: ReviewId
    listing_id: ListingId
    rating: int
    reason: PersonalText
    imported: bool = False
    reviewer_id: UUID | None = None


class ReviewUnhidden(Event, frozen=True, kw_only=True, tag="review_unhidden"):
    review_id: ReviewId
    listing_id: ListingId
    rating: int
    imported: bool = False


class ReviewDeleted(Event, frozen=True, kw_only=True, tag="review_deleted"):
    """``hidden`` tells whether a mean still counted it."""

    review_id: ReviewId
    listing_id: ListingId
    rating: int
    hidden: bool = False
    imported: bool = False


ReviewEvent: TypeAlias = (
    ReviewSubmitted | ReviewEdited | ReviewPurchaseVerified | ReviewHidden | ReviewUnhidden | ReviewDeleted
)


class ProductPurchased(Event, frozen=True, kw_only=True, tag="product_purchased"):
    """The first order of theirs with the product in it that was paid."""

    account_id: AccountId
    listing_id: ListingId
    order_id: OrderId


PurchaseEvent: TypeAlias = ProductPurchased
