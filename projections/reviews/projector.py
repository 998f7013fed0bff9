"""How the list of reviews is made: each is a row of its own, however many a product has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, Uuid

from domain.accounts.events import AccountErased
from domain.kernel import Event, Recorded
from domain.reviews.events import ReviewDeleted, ReviewEvent
from domain.reviews.review import Review
from projections.projection import Projection, Rows, read_model

reviews = read_model(
    "reviews",
    Column("number", BigInteger, nullable=False),
    Column("listing_id", Uuid, nullable=False),
    Column("reviewer_id", Uuid, nullable=False),
    Column("rating", Integer, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("submitted_at", DateTime(timezone=True), nullable=False),
    Index("idx_reviews_number", "number", unique=True),
    Index("idx_reviews_newest", "listing_id", "hidden", "submitted_at", "number"),
    Index("idx_reviews_rating", "listing_id", "hidden", "rating", "submitted_at", "number"),
    Index("idx_reviews_reviewer", "reviewer_id", "submitted_at", "number"),
    Index("idx_reviews_hidden", "hidden", "submitted_at", "number"),
    Index("idx_reviews_submitted", "submitted_at", "number"),
)


class ShownReview(msgspec.Struct, frozen=True, kw_only=True):
    review: Review
    updated_at: datetime


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return (recorded.event.review_id,)


def _fold(shown: ShownReview | None, recorded: Recorded[Any], _: UUID) -> ShownReview | None:
    event = recorded.event
    if isinstance(event, ReviewDeleted):
        return None
    if isinstance(event, AccountErased):
        assert shown is not None, "it is of somebody"
        return replace(shown, review=_forgotten(shown.review))
    before = None if shown is None else shown.review
    return ShownReview(review=Review.evolve(before, event), updated_at=recorded.timestamp)


def _forgotten(review: Review) -> Review:
    """As it reads once the person's key is destroyed: the stars stay, the words and the name do not.

    Nor does what a moderator has said of them.
    """
    return replace(review, comment="", reviewer_name="", reviewer_email="", reason="")


def _subjects(shown: ShownReview) -> Collection[UUID]:
    return (shown.review.reviewer_id,)


_CONCERNS: Mapping[type[Event], Callable[[Any], UUID]] = {AccountErased: lambda erased: erased.account_id}


def _row(shown: ShownReview) -> dict[str, Any]:
    review = shown.review
    return {
        "number": review.number,
        "listing_id": review.listing_id,
        "reviewer_id": review.reviewer_id,
        "rating": review.rating,
        "hidden": review.hidden,
        "submitted_at": review.submitted_at,
    }


REVIEW_LIST = Projection(
    name="reviews",
    version=2,
    events=get_args(ReviewEvent),
    document=ShownReview,
    keys=_keys,
    fold=_fold,
    into=Rows(table=reviews, row=_row),
    subjects=_subjects,
    concerning=_CONCERNS,
)
