"""Saying what one thinks of a product, and saying something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.listings.glancing import known_listing
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.slugs import reference_kind
from domain.accounts.account import ACCOUNTS
from domain.accounts.events import Caller
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import ListingId, ReviewId, stream_id
from domain.listings.listing import LISTINGS, Listing
from domain.reviewing import ONLY_REVIEW, Opinion, review_of, there
from domain.reviews.events import only_review_of, purchase_of
from domain.reviews.purchase import PURCHASES
from domain.reviews.review import REVIEWS, Review, ReviewNotFoundError, present
from domain.sellers.seller import SELLERS


class SubmitReview(msgspec.Struct, frozen=True, kw_only=True):
    caller: Caller
    listing_id: ListingId
    rating: int
    comment: str


class EditReview(msgspec.Struct, frozen=True, kw_only=True):
    """What is not given stays."""

    review_id: ReviewId
    caller: Caller
    rating: int | None = None
    comment: str | None = None


class DeleteReview(msgspec.Struct, frozen=True, kw_only=True):
    """By whoever wrote it, or an admin."""

    review_id: ReviewId
    caller: Caller


class Reviewed(msgspec.Struct, frozen=True, kw_only=True):
    """A review, and what it is about."""

    review: Review
    listing: Listing


async def submit_review(
    command: SubmitReview, metadata: Metadata, *, store: EventStore, numbers: Numbers, clock: Clock
) -> Changed[Reviewed]:
    """One append over all that it depends on: nobody reviews twice, nor while the product or they are going."""
    account_id, listing_id = command.caller.account_id, command.listing_id
    about = await known_listing(listing_id, store)
    number = await numbers.next("reviews")
    opinion = Opinion(
        id=ReviewId(stream_id("review", number)),
        number=number,
        rating=command.rating,
        comment=command.comment,
        at=clock.now(),
    )
    review_ref = StreamRef(REVIEWS, opinion.id)
    claim_ref = StreamRef(CLAIMS, only_review_of(account_id, listing_id))
    refs: list[StreamRef[Any, Any]] = [
        review_ref,
        claim_ref,
        StreamRef(LISTINGS, listing_id),
        StreamRef(SELLERS, about.seller_id),
        StreamRef(ACCOUNTS, account_id),
        StreamRef(PURCHASES, purchase_of(account_id, listing_id)),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Reviewed]:
        _, claim, listing, seller, reviewer, purchase = (each.state for each in loaded)
        submitted, claimed = review_of(
            listing, opinion, seller=seller, reviewer=reviewer, claim=claim, purchase=purchase
        )
        return Proposal(
            outcome=Reviewed(review=Review.evolve(None, submitted), listing=loaded[2].present),
            events=[(review_ref, [submitted]), (claim_ref, claimed)],
        )

    return await store.change_together(refs, decide, metadata)


async def edit_review(
    command: EditReview, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Reviewed]:
    now = clock.now()
    ref = StreamRef(REVIEWS, command.review_id)
    listing = await known_listing((await _review(ref, store)).listing_id, store)
    refs: list[StreamRef[Any, Any]] = [ref, StreamRef(ACCOUNTS, command.caller.account_id)]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Reviewed]:
        review = present(loaded[0].state)
        there(loaded[1].state)
        events = review.edit(command.caller, command.rating, command.comment, now)
        after = REVIEWS.after(review, events)
        return Proposal(outcome=Reviewed(review=after, listing=listing), events=[(ref, events)])

    return await store.change_together(refs, decide, metadata)


async def delete_review(command: DeleteReview, metadata: Metadata, *, store: EventStore) -> Changed[Review]:
    """Whoever thinks better of it may write another one; not where a moderator had a hand in it."""
    ref = StreamRef(REVIEWS, command.review_id)
    known = await _review(ref, store)
    claim_ref = StreamRef(CLAIMS, only_review_of(known.reviewer_id, known.listing_id))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Review]:
        review = present(loaded[0].state)
        events = review.delete(command.caller)
        anew = review.may_be_written_anew(command.caller)
        released = Claim.release(loaded[1].state, ONLY_REVIEW, review.id) if anew else []
        return Proposal(outcome=REVIEWS.after(review, events), events=[(ref, events), (claim_ref, released)])

    return await store.change_together([ref, claim_ref], decide, metadata)


def review_called(reference: str) -> ReviewId:
    """The review that an integer id or a uuid names; whether there is one is the command's to find out."""
    match reference_kind(reference):
        case int() as number:
            return ReviewId(stream_id("review", number))
        case str():
            raise ReviewNotFoundError("Review not found")
        case stream:
            return ReviewId(stream)


async def _review(ref: StreamRef[Any, Any], store: EventStore) -> Review:
    """Also a deleted one: a retry of what deleted it is answered as the first try was."""
    review: Review | None = (await store.load(REVIEWS, ref.id)).state
    if review is None:
        raise ReviewNotFoundError("Review not found")
    return review
