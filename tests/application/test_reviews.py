"""Reviews and wishlists, on a log in memory."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from application.accounts.standing import ForgetPerson
from application.errors import ConcurrentChangeError
from application.listings.moderating import HideListing
from application.orders.refunding import RefundOrder
from application.payments.closing import SendRefund
from application.payments.paying import RequestPayment
from application.processes.note_purchases import note_purchases_of
from application.reviews.importing import ImportReview
from application.reviews.moderating import HideReview, UnhideReview
from application.reviews.submitting import (
    DeleteReview,
    EditReview,
    Reviewed,
    SubmitReview,
    review_called,
    submit_review,
)
from application.reviews.verifying import NotePurchases
from application.wishlists.wishing import AddToWishlist, RemoveFromWishlist
from domain.accounts.account import ACCOUNTS
from domain.accounts.events import AccountErased, Caller
from domain.claims.events import ValueClaimed, ValueReleased
from domain.kernel import ForbiddenError, ListingId, NotFoundError, PaymentId, ReviewId, stream_id
from domain.listings.listing import Listing, ProductNotFoundError
from domain.money import Money
from domain.orders.events import OrderConfirmed
from domain.orders.order import Order, OrderNotFoundError
from domain.payments.payment import PAYMENTS
from domain.reviewing import ONLY_REVIEW
from domain.reviews.events import (
    ProductPurchased,
    ReviewDeleted,
    ReviewHidden,
    ReviewPurchaseVerified,
    ReviewSubmitted,
)
from domain.reviews.review import REVIEWS, AlreadyReviewedError, Review, ReviewNotFoundError
from domain.wishlists.events import WishlistItemAdded, WishlistItemRemoved, wishlist_of
from domain.wishlists.wishlist import WISHLISTS, WishlistItemNotFoundError
from tests.application.shop import METADATA, Shop

NOBODY = Caller(account_id=UUID(int=0), number=0)  # type: ignore[arg-type]  # an id like any other


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def refused(shop: Shop, command: object, error: type[Exception]) -> None:
    """The command is refused, and nothing is recorded."""
    head = await shop.log.head()
    with pytest.raises(error):
        await shop.handle(command)
    assert await shop.log.head() == head


async def review(shop: Shop, caller: Caller, listing: Listing, rating: int = 4) -> Review:
    command = SubmitReview(caller=caller, listing_id=listing.id, rating=rating, comment="Very satisfied!")
    reviewed: Reviewed = (await shop.handle(command)).state
    return reviewed.review


async def paid(shop: Shop, buyer: Caller, *listings: Listing) -> Order:
    order = await shop.order(buyer, *((listing, 1) for listing in listings))
    await shop.handle(RequestPayment(order_id=order.id))
    (*_, intent) = shop.provider.intents.values()
    await shop.handle(shop.paid(intent))
    return order


async def erase(shop: Shop, caller: Caller) -> None:
    erased = AccountErased(account_id=caller.account_id, erased_at=shop.clock.now())
    await shop.store.change(ACCOUNTS, caller.account_id, lambda _: [erased], METADATA)


class TestSubmitting:
    async def test_is_one_append_of_the_review_and_the_claim(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        head = await shop.log.head()
        written = await review(shop, buyer, listing)
        assert await shop.events_after(head) == [
            ReviewSubmitted(
                review_id=ReviewId(stream_id("review", 1)),
                number=1,
                listing_id=listing.id,
                reviewer_id=buyer.account_id,
                rating=4,
                comment="Very satisfied!",
                reviewer_name="emily",
                reviewer_email="emily@example.com",
                submitted_at=shop.clock.now(),
            ),
            ValueClaimed(kind=ONLY_REVIEW, owner=written.id),
        ]

    async def test_the_words_are_stored_as_the_persons_own(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        head = await shop.log.head()
        written = await review(shop, buyer, listing)
        stored = await shop.log.read(head, 10)
        assert not [event for event in stored if b"satisfied" in event.state or b"emily" in event.state]
        await shop.handle(ForgetPerson(account_id=buyer.account_id))
        read = await shop.another_store().load(REVIEWS, written.id)
        assert read.state is not None
        assert (read.state.rating, read.state.comment, read.state.reviewer_name) == (4, "", "")

    async def test_twice_is_refused_and_so_are_twenty_at_once(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        stores = [shop.store, shop.another_store()]
        command = SubmitReview(caller=buyer, listing_id=listing.id, rating=4, comment="Again")
        head = await shop.log.head()

        class Counter:
            last = 0

            async def next(self, name: str) -> int:
                self.last += 1
                return self.last

        counter = Counter()
        tries = [
            submit_review(command, METADATA, store=stores[n % 2], numbers=counter, clock=shop.clock)
            for n in range(20)
        ]
        results = await asyncio.gather(*tries, return_exceptions=True)
        refusals = [each for each in results if isinstance(each, BaseException)]
        assert (len(refusals), {type(each) for each in refusals}) == (19, {AlreadyReviewedError})
        assert await shop.log.head() == head + 2
        await refused(shop, command, AlreadyReviewedError)

    async def test_of_something_that_is_not_there(self, shop: Shop) -> None:
        buyer = await shop.buyer()
        nothing = ListingId(stream_id("listing", 99))
        command = SubmitReview(caller=buyer, listing_id=nothing, rating=4, comment="x")
        await refused(shop, command, ProductNotFoundError)

    async def test_by_somebody_who_is_being_erased(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        await erase(shop, buyer)
        command = SubmitReview(caller=buyer, listing_id=listing.id, rating=4, comment="x")
        await refused(shop, command, NotFoundError)


class TestThinkingBetterOfIt:
    async def test_not_while_one_is_being_erased(self, shop: Shop) -> None:
        """Their words would stand in the read models again, which have forgotten them already."""
        buyer, listing = await shop.buyer(), await shop.listing()
        written = await review(shop, buyer, listing)
        await erase(shop, buyer)
        await refused(shop, EditReview(review_id=written.id, caller=buyer, comment="x"), NotFoundError)

    async def test_after_it_is_deleted_another_one_is_written(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        first = await review(shop, buyer, listing)
        head = await shop.log.head()
        await shop.handle(DeleteReview(review_id=first.id, caller=buyer))
        assert await shop.events_after(head) == [
            ReviewDeleted(review_id=first.id, listing_id=listing.id, rating=4),
            ValueReleased(kind=ONLY_REVIEW, owner=first.id),
        ]
        await refused(shop, DeleteReview(review_id=first.id, caller=buyer), ReviewNotFoundError)
        assert (await review(shop, buyer, listing, 1)).id != first.id

    async def test_not_to_get_round_a_moderator(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        hidden = await review(shop, buyer, listing)
        await shop.handle(HideReview(review_id=hidden.id, reason="advertises"))
        head = await shop.log.head()
        await shop.handle(DeleteReview(review_id=hidden.id, caller=buyer))
        assert await shop.events_after(head) == [
            ReviewDeleted(review_id=hidden.id, listing_id=listing.id, rating=4, hidden=True)
        ]
        again = SubmitReview(caller=buyer, listing_id=listing.id, rating=4, comment="Again")
        await refused(shop, again, AlreadyReviewedError)

    async def test_only_ones_own(self, shop: Shop) -> None:
        written = await review(shop, await shop.buyer(), await shop.listing())
        stranger = await shop.buyer("stranger")
        for command in (
            EditReview(review_id=written.id, caller=stranger, rating=1),
            DeleteReview(review_id=written.id, caller=stranger),
        ):
            await refused(shop, command, ForbiddenError)

    async def test_of_what_is_not_there(self, shop: Shop) -> None:
        nothing = review_called("99")
        for command in (
            EditReview(review_id=nothing, caller=NOBODY, rating=1),
            DeleteReview(review_id=nothing, caller=NOBODY),
            HideReview(review_id=nothing, reason="x"),
            UnhideReview(review_id=nothing),
        ):
            await refused(shop, command, ReviewNotFoundError)
        with pytest.raises(ReviewNotFoundError):
            review_called("a-slug")

    async def test_what_was_written_elsewhere_is_moderated_alike(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        command = ImportReview(
            listing_id=listing.id,
            reviewer_id=buyer.account_id,
            rating=3,
            comment="Old",
            reviewer_name="Emily",
            reviewer_email="emily@example.com",
            submitted_at=shop.clock.now(),
        )
        imported: Review = (await shop.handle(command)).state
        head = await shop.log.head()
        await shop.handle(HideReview(review_id=imported.id, reason="spam"))
        await shop.handle(DeleteReview(review_id=imported.id, caller=buyer))
        assert await shop.events_after(head) == [
            ReviewHidden(
                review_id=imported.id,
                listing_id=listing.id,
                rating=3,
                reason="spam",
                imported=True,
                reviewer_id=buyer.account_id,
            ),
            ReviewDeleted(review_id=imported.id, listing_id=listing.id, rating=3, hidden=True, imported=True),
        ]


class TestHavingBought:
    async def test_marks_what_is_said_afterwards(self, shop: Shop) -> None:
        buyer, listing, other = await shop.buyer(), await shop.listing(), await shop.listing(title="Other")
        order = await paid(shop, buyer, listing)
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(NotePurchases(order_id=order.id))
        assert await shop.events_after(head) == [
            ProductPurchased(account_id=buyer.account_id, listing_id=listing.id, order_id=order.id)
        ]
        assert (await review(shop, buyer, listing)).verified_purchase
        assert not (await review(shop, buyer, other)).verified_purchase
        assert not (await review(shop, await shop.buyer("other"), listing)).verified_purchase

    async def test_marks_what_was_said_before(self, shop: Shop) -> None:
        buyer, listing, other = await shop.buyer(), await shop.listing(), await shop.listing(title="Other")
        written = await review(shop, buyer, listing)
        order = await paid(shop, buyer, listing, other)
        head = await shop.log.head()
        await shop.handle(NotePurchases(order_id=order.id))
        assert await shop.events_after(head) == [
            ProductPurchased(account_id=buyer.account_id, listing_id=listing.id, order_id=order.id),
            ProductPurchased(account_id=buyer.account_id, listing_id=other.id, order_id=order.id),
            ReviewPurchaseVerified(review_id=written.id, listing_id=listing.id),
        ]
        assert (await shop.now(REVIEWS, written.id)).verified_purchase

    async def test_also_where_something_went_back_before_anybody_looked(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        order = await paid(shop, buyer, listing)
        await shop.handle(RefundOrder(order_id=order.id, reason="Late", amount=Money(1)))
        payment_id = PaymentId(stream_id("payment", "pi_1"))
        (refund_id,) = (await shop.now(PAYMENTS, payment_id)).refunds
        await shop.handle(SendRefund(payment_id=payment_id, refund_id=refund_id))
        await shop.handle(NotePurchases(order_id=order.id))
        assert (await review(shop, buyer, listing)).verified_purchase

    async def test_follows_from_the_payment_and_from_nothing_less(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        order = await shop.order(buyer, (listing, 1))
        confirmed = OrderConfirmed(order_id=order.id, intent_id="pi_1", confirmed_at=shop.clock.now())
        (command,) = note_purchases_of(confirmed)
        assert command == NotePurchases(order_id=order.id)
        await refused(shop, command, OrderNotFoundError)

    async def test_a_review_that_comes_in_between_is_not_missed(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        order = await paid(shop, buyer, listing)
        original, written = shop.store.change_together, []

        async def after_a_review(*asked: Any) -> Any:
            monkeypatch.undo()
            written.append(await review(shop, buyer, listing))
            return await original(*asked)

        monkeypatch.setattr(shop.store, "change_together", after_a_review)
        # Whoever reacts asks again after that.
        with pytest.raises(ConcurrentChangeError):
            await shop.handle(NotePurchases(order_id=order.id))
        await shop.handle(NotePurchases(order_id=order.id))
        assert (await shop.now(REVIEWS, written[0].id)).verified_purchase


class TestWishing:
    async def test_once_and_no_more(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        wish = AddToWishlist(account_id=buyer.account_id, listing_id=listing.id)
        head = await shop.log.head()
        first = (await shop.handle(wish)).state
        assert (await shop.handle(wish)).state == first
        gone = RemoveFromWishlist(account_id=buyer.account_id, listing_id=listing.id)
        await shop.handle(gone)
        assert await shop.events_after(head) == [
            WishlistItemAdded(account_id=buyer.account_id, listing_id=listing.id, added_at=shop.clock.now()),
            WishlistItemRemoved(account_id=buyer.account_id, listing_id=listing.id),
        ]
        await refused(shop, gone, WishlistItemNotFoundError)

    async def test_twenty_at_once_are_one(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        head = await shop.log.head()
        wish = AddToWishlist(account_id=buyer.account_id, listing_id=listing.id)
        await asyncio.gather(*(shop.handle(wish) for _ in range(20)))
        assert await shop.log.head() == head + 1
        assert list((await shop.now(WISHLISTS, wishlist_of(buyer.account_id))).items) == [listing.id]

    async def test_for_what_an_admin_has_hidden_tells_nothing_of_it(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        await shop.handle(HideListing(listing_id=listing.id))
        wish = AddToWishlist(account_id=buyer.account_id, listing_id=listing.id)
        await refused(shop, wish, ProductNotFoundError)

    async def test_for_what_is_not_there_or_by_whom(self, shop: Shop) -> None:
        buyer, listing = await shop.buyer(), await shop.listing()
        nothing = ListingId(stream_id("listing", 99))
        await refused(
            shop, AddToWishlist(account_id=buyer.account_id, listing_id=nothing), ProductNotFoundError
        )
        await erase(shop, buyer)
        await refused(shop, AddToWishlist(account_id=buyer.account_id, listing_id=listing.id), NotFoundError)
