"""What can happen to a review."""

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from domain.kernel import Event, ListingId, PersonalText, ReviewId


class ReviewSubmitted(Event, frozen=True, kw_only=True, tag="review_submitted"):
    """``reviewer_id`` is the account's id, or stands for somebody who never had one here (imported reviews)."""

    subject = "reviewer_id"

    review_id: ReviewId
    number: int
    listing_id: ListingId
    reviewer_id: UUID
    rating: int
    comment: str
    reviewer_name: PersonalText
    reviewer_email: PersonalText
    submitted_at: datetime
    imported: bool = False


ReviewEvent: TypeAlias = ReviewSubmitted
