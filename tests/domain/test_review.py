"""Reviewing a product, thinking better of it, and being moderated."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from domain.accounts.account import Account, UserNotFoundError
from domain.accounts.events import Caller, Profile
from domain.claims.claim import Claim
from domain.claims.events import ValueClaimed
from domain.kernel import AccountId, ForbiddenError, InvalidInputError, ReviewId, stream_id
from domain.listings.events import ListingDeleted, ListingHidden, ListingRemoved, ListingUnpublished
from domain.listings.listing import Listing, ProductNotFoundError
from domain.reviewing import ONLY_REVIEW, Opinion, review_of
from domain.reviews.events import (
    ProductPurchased,
    ReviewDeleted,
    ReviewEdited,
    ReviewEvent,
    ReviewHidden,
    ReviewPurchaseVerified,
    ReviewSubmitted,
    ReviewUnhidden,
)
from domain.reviews.purchase import PURCHASES, Purchase
from domain.reviews.review import (
    REVIEWS,
    AlreadyReviewedError,
    Review,
    ReviewHiddenError,
    ReviewingOneselfError,
    ReviewNotFoundError,
    present,
)
from domain.sellers.events import PersonalSellerOpened, SellerSuspended, ShopProfile, seller_of
from domain.sellers.seller import SELLERS
from tests.domain.builders import ADMIN, BUYER, NOW, ORDER_ID, a_listing, listing_id

REVIEW_ID = ReviewId(stream_id("review", 7))
LATER = NOW + timedelta(days=1)
REVIEWER = Account(
    id=BUYER.account_id,
    number=1,
    email="emily@example.com",
    username="emilys",
    password_hash="",
    profile=Profile(first_name="Emily", last_name="Johnson"),
)
OPINION = Opinion(id=REVIEW_ID, number=7, rating=4, comment="Very satisfied!", at=NOW)
SUBMITTED = ReviewSubmitted(
    review_id=REVIEW_ID,
    number=7,
    listing_id=listing_id(1),
    reviewer_id=BUYER.account_id,
    rating=4,
    comment="Very satisfied!",
    reviewer_name="Emily Johnson",
    reviewer_email="emily@example.com",
    submitted_at=NOW,
)
HIDDEN = ReviewHidden(
    review_id=REVIEW_ID,
    listing_id=listing_id(1),
    rating=4,
    reason="advertises",
    reviewer_id=BUYER.account_id,
)
UNHIDDEN = ReviewUnhidden(review_id=REVIEW_ID, listing_id=listing_id(1), rating=4)
DELETED = ReviewDeleted(review_id=REVIEW_ID, listing_id=listing_id(1), rating=4)


def submit(listing: Listing | None, opinion: Opinion = OPINION, **known: Any) -> Any:
    about = {"seller": None, "reviewer": REVIEWER, "claim": None, "purchase": None, **known}
    return review_of(listing, opinion, **about)


def after(*events: ReviewEvent) -> Review:
    return REVIEWS.after(None, [SUBMITTED, *events])


def replaced(**fields: Any) -> Opinion:
    return Opinion(**{**{name: getattr(OPINION, name) for name in OPINION.__struct_fields__}, **fields})


class TestSubmitting:
    def test_is_recorded_with_who_says_it_and_claims_the_only_one(self) -> None:
        claimed = ValueClaimed(kind=ONLY_REVIEW, owner=REVIEW_ID)
        assert submit(a_listing()) == (SUBMITTED, [claimed])

    def test_a_buyers_is_marked(self) -> None:
        submitted, _ = submit(a_listing(), purchase=Purchase(order_id=ORDER_ID))
        assert submitted.verified_purchase

    def test_what_is_sold_out_is_reviewed_too(self) -> None:
        assert submit(a_listing(stock=0))[0] == SUBMITTED

    def test_a_second_one_is_refused(self) -> None:
        with pytest.raises(AlreadyReviewedError):
            submit(a_listing(), claim=Claim(stream_id("review", 1)))

    def test_and_possible_once_the_first_is_gone(self) -> None:
        assert submit(a_listing(), claim=Claim(None))[0] == SUBMITTED

    def test_nobody_praises_their_own(self) -> None:
        with pytest.raises(ReviewingOneselfError):
            submit(a_listing(seller_id=seller_of(BUYER.account_id)))

    def test_what_nobody_sees_is_not_there(self) -> None:
        taken_away = (
            ListingUnpublished(listing_id=listing_id(1)),
            ListingHidden(listing_id=listing_id(1), reason="fake"),
            ListingRemoved(listing_id=listing_id(1), reason="fake"),
            ListingDeleted(listing_id=listing_id(1), deleted_at=NOW),
        )
        for listing in (None, *(a_listing(event) for event in taken_away)):
            with pytest.raises(ProductNotFoundError):
                submit(listing)
        seller_id = seller_of(ADMIN.account_id)
        opened = PersonalSellerOpened(
            seller_id=seller_id,
            account_id=ADMIN.account_id,
            account_number=2,
            profile=ShopProfile(shop_name="S"),
        )
        suspended = SellerSuspended(seller_id=seller_id, account_id=ADMIN.account_id, cause="admin")
        with pytest.raises(ProductNotFoundError):
            submit(a_listing(seller_id=seller_id), seller=SELLERS.fold(None, [opened, suspended]))

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"rating": 0}, {"rating"}),
            ({"rating": 6}, {"rating"}),
            ({"comment": " \n"}, {"comment"}),
            ({"comment": "x" * 2001}, {"comment"}),
            ({"rating": -1, "comment": ""}, {"rating", "comment"}),
        ],
    )
    def test_what_says_nothing_is_refused(self, fields: dict[str, Any], named: set[str]) -> None:
        with pytest.raises(InvalidInputError) as wrong:
            submit(a_listing(), replaced(**fields))
        assert set(wrong.value.details) == named

    def test_nothing_is_recorded_of_somebody_who_is_gone(self) -> None:
        erased = Account(id=BUYER.account_id, number=1, email="", username="", password_hash="", erased=True)
        for reviewer in (None, erased):
            with pytest.raises(UserNotFoundError):
                submit(a_listing(), reviewer=reviewer)


class TestEditing:
    def test_what_is_not_given_stays(self) -> None:
        edited = ReviewEdited(
            review_id=REVIEW_ID,
            listing_id=listing_id(1),
            reviewer_id=BUYER.account_id,
            rating=2,
            former_rating=4,
            comment="Very satisfied!",
            edited_at=LATER,
        )
        assert after().edit(BUYER, 2, None, LATER) == [edited]
        review = after(edited)
        assert (review.rating, review.comment, review.edited_at) == (2, "Very satisfied!", LATER)

    def test_the_same_again_is_nothing(self) -> None:
        assert after().edit(BUYER, 4, "Very satisfied!", LATER) == []
        assert after().edit(BUYER, None, None, LATER) == []

    def test_only_ones_own(self) -> None:
        with pytest.raises(ForbiddenError):
            after().edit(ADMIN, 5, None, LATER)

    def test_not_what_a_moderator_looks_at(self) -> None:
        with pytest.raises(ReviewHiddenError) as why:
            after(HIDDEN).edit(BUYER, 5, None, LATER)
        assert why.value.details == {"reason": "advertises"}

    def test_into_something_that_says_nothing(self) -> None:
        with pytest.raises(InvalidInputError):
            after().edit(BUYER, None, " ", LATER)


class TestDeleting:
    def test_by_its_writer_or_an_admin(self) -> None:
        for caller in (BUYER, ADMIN):
            assert after().delete(caller) == [DELETED]
        assert after(HIDDEN).delete(BUYER)[0] == ReviewDeleted(
            review_id=REVIEW_ID, listing_id=listing_id(1), rating=4, hidden=True
        )

    def test_by_nobody_else(self) -> None:
        stranger = Caller(account_id=AccountId(stream_id("account", 9)), number=9)
        with pytest.raises(ForbiddenError):
            after().delete(stranger)

    def test_is_no_way_around_a_moderator(self) -> None:
        assert after().may_be_written_anew(BUYER)
        assert not after(HIDDEN).may_be_written_anew(BUYER)
        assert not after().may_be_written_anew(ADMIN)

    def test_leaves_nothing_that_was_said(self) -> None:
        gone = after(DELETED)
        assert (gone.comment, gone.reviewer_name, gone.reviewer_email) == ("", "", "")
        for review in (gone, None):
            with pytest.raises(ReviewNotFoundError):
                present(review)


class TestModerating:
    def test_is_undone_as_it_was_done(self) -> None:
        assert after().hide("advertises") == [HIDDEN]
        assert after(HIDDEN).unhide() == [UNHIDDEN]
        assert after(HIDDEN, UNHIDDEN) == after()

    def test_twice_changes_nothing(self) -> None:
        assert after(HIDDEN).hide("again") == []
        assert after().unhide() == []


class TestBuying:
    def test_marks_what_was_said_before_and_once(self) -> None:
        verified = ReviewPurchaseVerified(review_id=REVIEW_ID, listing_id=listing_id(1))
        assert after().verify_purchase() == [verified]
        assert after(verified).verify_purchase() == []
        assert after(DELETED).verify_purchase() == []

    def test_the_first_purchase_is_enough(self) -> None:
        purchased = ProductPurchased(account_id=BUYER.account_id, listing_id=listing_id(1), order_id=ORDER_ID)
        assert Purchase.note(None, BUYER.account_id, listing_id(1), ORDER_ID) == [purchased]
        known = PURCHASES.fold(None, [purchased])
        assert Purchase.note(known, BUYER.account_id, listing_id(1), ORDER_ID) == []
