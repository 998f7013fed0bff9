"""A review: what somebody says of a listing, with one to five stars."""

from __future__ import annotations

from uuid import UUID

import msgspec

from domain.kernel import Decider, ListingId, ReviewId
from domain.reviews.events import ReviewEvent


class Review(msgspec.Struct, frozen=True, kw_only=True):
    id: ReviewId
    number: int
    listing_id: ListingId
    reviewer_id: UUID
    rating: int

    @classmethod
    def evolve(cls, _: Review | None, event: ReviewEvent) -> Review:
        return cls(
            id=event.review_id,
            number=event.number,
            listing_id=event.listing_id,
            reviewer_id=event.reviewer_id,
            rating=event.rating,
        )


REVIEWS: Decider[Review, ReviewEvent] = Decider("reviews", Review.evolve)
