"""Taking over reviews that were written elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from application.ports import Changed, EventStore, Metadata, Numbers, Proposal, StreamRef
from domain.kernel import ListingId, ReviewId, stream_id
from domain.reviews.events import ReviewSubmitted
from domain.reviews.review import REVIEWS, Review


class ImportReview(msgspec.Struct, frozen=True, kw_only=True):
    """A review with the date it had. The rule of one review per person is not for what was written elsewhere."""

    listing_id: ListingId
    reviewer_id: UUID
    rating: int
    comment: str
    reviewer_name: str
    reviewer_email: str
    submitted_at: datetime


async def import_review(
    command: ImportReview, metadata: Metadata, *, store: EventStore, numbers: Numbers
) -> Changed[Review]:
    number = await numbers.next("reviews")
    submitted = ReviewSubmitted(
        review_id=ReviewId(stream_id("review", number)),
        number=number,
        listing_id=command.listing_id,
        reviewer_id=command.reviewer_id,
        rating=command.rating,
        comment=command.comment,
        reviewer_name=command.reviewer_name,
        reviewer_email=command.reviewer_email,
        submitted_at=command.submitted_at,
        imported=True,
    )

    def decide(_: Any) -> Proposal[Review]:
        return Proposal(
            outcome=Review.evolve(None, submitted),
            events=[(StreamRef(REVIEWS, submitted.review_id), [submitted])],
        )

    return await store.change_together([], decide, metadata)
