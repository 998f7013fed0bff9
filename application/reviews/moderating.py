"""Taking reviews out of sight, and letting them be seen again."""

from __future__ import annotations

import msgspec

from application.ports import Changed, EventStore, Metadata
from domain.kernel import ReviewId
from domain.reviews.review import REVIEWS, Review, present


class HideReview(msgspec.Struct, frozen=True, kw_only=True):
    review_id: ReviewId
    reason: str


class UnhideReview(msgspec.Struct, frozen=True, kw_only=True):
    review_id: ReviewId


async def hide_review(command: HideReview, metadata: Metadata, *, store: EventStore) -> Changed[Review]:
    return await store.change(
        REVIEWS, command.review_id, lambda review: present(review).hide(command.reason), metadata
    )


async def unhide_review(command: UnhideReview, metadata: Metadata, *, store: EventStore) -> Changed[Review]:
    return await store.change(REVIEWS, command.review_id, lambda review: present(review).unhide(), metadata)
