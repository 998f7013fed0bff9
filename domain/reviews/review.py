"""A review: what somebody says of a listing, with one to five stars."""

from __future__ import annotations

from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.kernel import (
    AlreadyExistsError,
    Decider,
    ForbiddenError,
    InvalidInputError,
    ListingId,
    NotFoundError,
    ReviewId,
    RuleViolatedError,
)
from domain.reviews.events import (
    ReviewDeleted,
    ReviewEdited,
    ReviewEvent,
    ReviewHidden,
    ReviewPurchaseVerified,
    ReviewSubmitted,
    ReviewUnhidden,
)

LONGEST_COMMENT: Final = 2000


class ReviewNotFoundError(NotFoundError):
    code = "REVIEW_NOT_FOUND"


class AlreadyReviewedError(AlreadyExistsError):
    code = "ALREADY_REVIEWED"


class ReviewingOneselfError(RuleViolatedError):
    code = "CANNOT_REVIEW_OWN_PRODUCT"


class ReviewHiddenError(RuleViolatedError):
    """What a moderator has judged is not changed under their eyes."""

    code = "REVIEW_HIDDEN"


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """``reason`` is what it is hidden for."""

    id: ReviewId
    number: int
    listing_id: ListingId
    reviewer_id: UUID
    rating: int
    comment: str
    reviewer_name: str
    reviewer_email: str
    submitted_at: datetime
    edited_at: datetime | None = None
    imported: bool = False
    verified_purchase: bool = False
    hidden: bool = False
    reason: str = ""
    deleted: bool = False

    def edit(
        self, caller: Caller, rating: int | None, comment: str | None, at: datetime
    ) -> list[ReviewEvent]:
        """What is not given stays."""
        self._require_writer(caller)
        if self.hidden:
            raise ReviewHiddenError("This review is hidden", details={"reason": self.reason})
        wanted = self.rating if rating is None else rating
        words = self.comment if comment is None else comment
        require_sayable(wanted, words)
        if (wanted, words) == (self.rating, self.comment):
            return []
        edited = ReviewEdited(
            review_id=self.id,
            listing_id=self.listing_id,
            reviewer_id=self.reviewer_id,
            rating=wanted,
            former_rating=self.rating,
            comment=words,
            edited_at=at,
        )
        return [edited]

    def delete(self, caller: Caller) -> list[ReviewEvent]:
        if not caller.is_admin:
            self._require_writer(caller)
        deleted = ReviewDeleted(
            review_id=self.id,
            listing_id=self.listing_id,
            rating=self.rating,
            hidden=self.hidden,
            imported=self.imported,
        )
        return [deleted]

    def may_be_written_anew(self, caller: Caller) -> bool:
        """Whether its writer may say something else once it is deleted: not to get round a moderator."""
        return caller.account_id == self.reviewer_id and not self.hidden

    def hide(self, reason: str) -> list[ReviewEvent]:
        if self.hidden:
            return []
        hidden = ReviewHidden(
            review_id=self.id,
            listing_id=self.listing_id,
            rating=self.rating,
            reason=reason,
            imported=self.imported,
            reviewer_id=self.reviewer_id,
        )
        return [hidden]

    def unhide(self) -> list[ReviewEvent]:
        if not self.hidden:
            return []
        unhidden = ReviewUnhidden(
            review_id=self.id, listing_id=self.listing_id, rating=self.rating, imported=self.imported
        )
        return [unhidden]

    def verify_purchase(self) -> list[ReviewEvent]:
        if self.verified_purchase or self.deleted:
            return []
        return [ReviewPurchaseVerified(review_id=self.id, listing_id=self.listing_id)]

    def _require_writer(self, caller: Caller) -> None:
        if caller.account_id != self.reviewer_id:
            raise ForbiddenError("This is not your review")

    @classmethod
    def evolve(cls, review: Review | None, event: ReviewEvent) -> Review:
        if isinstance(event, ReviewSubmitted):
            return cls(
                id=event.review_id,
                number=event.number,
                listing_id=event.listing_id,
                reviewer_id=event.reviewer_id,
                rating=event.rating,
                comment=event.comment,
                reviewer_name=event.reviewer_name,
                reviewer_email=event.reviewer_email,
                submitted_at=event.submitted_at,
                imported=event.imported,
                verified_purchase=event.verified_purchase,
            )
        assert review is not None, "a review's first event is ReviewSubmitted"
        match event:
            case ReviewEdited(rating=rating, comment=comment, edited_at=at):
                return replace(review, rating=rating, comment=comment, edited_at=at)
            case ReviewPurchaseVerified():
                return replace(review, verified_purchase=True)
            case ReviewHidden(reason=reason):
                return replace(review, hidden=True, reason=reason)
            case ReviewUnhidden():
                return replace(review, hidden=False, reason="")
            case ReviewDeleted():
                return replace(
                    review, comment="", reviewer_name="", reviewer_email="", reason="", deleted=True
                )
            case _:
                assert_never(event)


def require_sayable(rating: int, comment: str) -> None:
    faults: dict[str, list[str]] = {}
    if not 1 <= rating <= 5:
        faults["rating"] = ["Must be between 1 and 5"]
    if not comment.strip():
        faults["comment"] = ["Must not be empty"]
    elif len(comment) > LONGEST_COMMENT:
        faults["comment"] = [f"Must be at most {LONGEST_COMMENT} characters"]
    if faults:
        raise InvalidInputError(faults)


def present(review: Review | None) -> Review:
    if review is None or review.deleted:
        raise ReviewNotFoundError("Review not found")
    return review


REVIEWS: Decider[Review, ReviewEvent] = Decider("reviews", Review.evolve)
