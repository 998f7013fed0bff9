"""Reviews and wishlists: events in, rows out, the same after a rebuild and nothing of who was erased."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection

from domain.accounts.events import AccountErased, Caller
from domain.kernel import AccountId, Event, ListingId, Recorded, ReviewId, SellerId, stream_id
from domain.listings.events import ListingPriceChanged, ListingPublished, ListingUnpublished
from domain.money import Money
from domain.reviews.events import (
    ReviewDeleted,
    ReviewEdited,
    ReviewHidden,
    ReviewPurchaseVerified,
    ReviewSubmitted,
    ReviewUnhidden,
)
from domain.reviews.review import Review
from domain.sellers.events import SellerReinstated, SellerSuspended, seller_of
from domain.wishlists.events import WishlistItemAdded, WishlistItemRemoved
from projections.keyset import Piece
from projections.products.product import KEPT, SHOWN, Product
from projections.products.projector import PRODUCTS, fold_product
from projections.reviews.projector import REVIEW_LIST
from projections.reviews.query import (
    ReviewPage,
    SortReviews,
    review_body,
    review_by,
    reviewed_product,
    reviews_by,
    reviews_of,
    reviews_to_moderate,
)
from projections.sellers.projector import SELLER_LIST
from projections.wishlists.projector import WISHLIST_ITEMS
from projections.wishlists.query import wishes_of, wishlist_page
from tests.domain.builders import NOW, a_listing_created, listing_id
from tests.projections.test_forgetting import Shown, showing

ADA, BOB, CY = (AccountId(stream_id("account", number)) for number in (1, 2, 3))
NORTH = seller_of(CY)
SUMS = "SELECT review_count, rating_sum, rating FROM products WHERE number = %s"


@pytest.fixture
async def shown(database_url: str) -> AsyncIterator[Shown]:
    async with showing(database_url, PRODUCTS, SELLER_LIST, REVIEW_LIST, WISHLIST_ITEMS) as shown:
        yield shown


def published(number: int, seller: SellerId = NORTH, **fields: Any) -> list[Event]:
    created = a_listing_created(number, seller_id=seller, **fields)
    return [created, ListingPublished(listing_id=listing_id(number))]


def review_id(number: int) -> ReviewId:
    return ReviewId(stream_id("review", number))


def said(number: int, reviewer: UUID, rating: int, about: int = 1, **fields: Any) -> ReviewSubmitted:
    given: dict[str, Any] = {
        "review_id": review_id(number),
        "number": number,
        "listing_id": listing_id(about),
        "reviewer_id": reviewer,
        "rating": rating,
        "comment": f"comment {number}",
        "reviewer_name": f"Writer {number}",
        "reviewer_email": f"writer{number}@example.com",
        "submitted_at": NOW + timedelta(minutes=number),
        **fields,
    }
    return ReviewSubmitted(**given)


def edited(number: int, reviewer: UUID, former: int, rating: int, about: int = 1) -> ReviewEdited:
    return ReviewEdited(
        review_id=review_id(number),
        listing_id=listing_id(about),
        reviewer_id=reviewer,
        rating=rating,
        former_rating=former,
        comment=f"edited {number}",
        edited_at=NOW + timedelta(days=1),
    )


def hidden(number: int, rating: int, about: int = 1) -> ReviewHidden:
    return ReviewHidden(
        review_id=review_id(number), listing_id=listing_id(about), rating=rating, reason="advertises"
    )


def unhidden(number: int, rating: int, about: int = 1) -> ReviewUnhidden:
    return ReviewUnhidden(review_id=review_id(number), listing_id=listing_id(about), rating=rating)


def deleted(number: int, rating: int, *, was_hidden: bool = False, about: int = 1) -> ReviewDeleted:
    return ReviewDeleted(
        review_id=review_id(number), listing_id=listing_id(about), rating=rating, hidden=was_hidden
    )


def erased(person: AccountId) -> AccountErased:
    return AccountErased(account_id=person, erased_at=NOW + timedelta(days=30))


async def listed(
    shown: Shown, sort: SortReviews = SortReviews.NEWEST, skip: int = 0, limit: int = 100, about: int = 1
) -> list[int]:
    product = await reviewed_product(shown.reads, about)
    assert product is not None
    return numbers(await reviews_of(shown.reads, product, sort, Piece(skip=skip, limit=limit)))


def numbers(page: ReviewPage) -> list[int]:
    return [found.review.review.number for found in page.reviews]


async def embedded(shown: Shown) -> list[int]:
    body, _ = await shown.product(1)
    return [review["id"] for review in body["reviews"]]


class Act(StrEnum):
    SUBMIT = "submit"
    EDIT = "edit"
    HIDE = "hide"
    UNHIDE = "unhide"
    DELETE = "delete"
    ERASE = "erase"


def acted(act: Act, reviews: dict[int, Review], number: int, which: int, rating: int) -> Sequence[Any]:
    """What comes of it, as the aggregate decides."""
    left = [review for review in reviews.values() if not review.deleted]
    if act is Act.SUBMIT or not left:
        return [said(number, UUID(int=number), rating)]
    review = left[which % len(left)]
    writer = Caller(account_id=AccountId(review.reviewer_id), number=1)
    match act:
        case Act.EDIT:
            return [] if review.hidden else review.edit(writer, rating, None, NOW)
        case Act.HIDE:
            return review.hide("advertises")
        case Act.UNHIDE:
            return review.unhide()
        case Act.DELETE:
            return review.delete(writer)
        case Act.ERASE:
            return [erased(writer.account_id)]


def folded(product: Product | None, event: Event) -> Product:
    recorded: Recorded[Any] = Recorded(
        event=event,
        id=UUID(int=0),
        stream=UUID(int=0),
        aggregate="",
        version=1,
        position=1,
        timestamp=NOW,
        actor="",
    )
    after = fold_product(product, recorded, listing_id(1))
    assert after is not None
    return after


class Explained:
    """Tells how a question would be answered, where nothing but an index is to be had."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self.plans: list[str] = []

    async def one(self, query: str, *parameters: Any) -> tuple[Any, ...] | None:
        return (0,)

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        for otherwise in ("seqscan", "bitmapscan", "sort"):
            await self._connection.execute(f"SET LOCAL enable_{otherwise} = off".encode())
        plan = await self._connection.execute(f"EXPLAIN {query}".encode(), parameters)
        self.plans.append("\n".join(line for (line,) in await plan.fetchall()))
        return [(0, None)]


class TestTheMean:
    async def test_is_right_whatever_becomes_of_reviews(self, shown: Shown) -> None:
        await shown.record(*published(1))
        for events, sums in (
            ([said(1, ADA, 5), said(2, BOB, 2)], (2, 7, 3.5)),
            ([edited(2, BOB, 2, 4)], (2, 9, 4.5)),
            ([hidden(1, 5)], (1, 4, 4.0)),
            ([unhidden(1, 5)], (2, 9, 4.5)),
            ([hidden(2, 4), deleted(2, 4, was_hidden=True)], (1, 5, 5.0)),
            ([deleted(1, 5)], (0, 0, 0.0)),
        ):
            await shown.record(*events)
            assert await shown.reads.one(SUMS, 1) == sums
        for projection in (PRODUCTS, REVIEW_LIST):
            assert (await shown.rebuilt(projection)).startswith("equal to generation 1")
        assert await shown.stand.generations.dead_letters() == []

    @given(st.lists(st.tuples(st.sampled_from(Act), st.integers(0, 5), st.integers(1, 5)), max_size=80))
    def test_is_that_of_what_can_be_seen_in_whatever_order_things_happen(
        self, acts: list[tuple[Act, int, int]]
    ) -> None:
        reviews: dict[int, Review] = {}
        product = folded(None, published(1)[0])
        for number, (act, which, rating) in enumerate(acts, 1):
            for event in acted(act, reviews, number, which, rating):
                product = folded(product, event)
                if isinstance(event, AccountErased):
                    continue
                known = {review.id: review for review in reviews.values()}
                review = Review.evolve(known.get(event.review_id), event)
                reviews[review.number] = review
        seen = [each for each in reviews.values() if not (each.hidden or each.deleted)]
        stars = [each.rating for each in seen]
        assert (product.review_count, product.rating_sum) == (len(stars), sum(stars))
        assert product.rating == (round(sum(stars) / len(stars), 1) if stars else 0)
        assert len(product.opinions) <= KEPT
        shown = {opinion.number: opinion.rating for opinion in product.shown_reviews}
        assert shown.items() <= {each.number: each.rating for each in seen}.items()
        assert len(shown) <= SHOWN

    async def test_of_an_imported_product_is_what_it_came_with_until_somebody_here_says_something(
        self, shown: Shown
    ) -> None:
        await shown.record(*published(1, imported_rating=2.56), said(1, ADA, 5, imported=True))
        assert await shown.reads.one(SUMS, 1) == (1, 5, 2.56)
        await shown.record(said(2, BOB, 2))
        assert await shown.reads.one(SUMS, 1) == (2, 7, 3.5)
        await shown.record(deleted(2, 2))
        assert await shown.reads.one(SUMS, 1) == (1, 5, 2.56)


class TestTheProduct:
    async def test_shows_the_newest_and_counts_all(self, shown: Shown) -> None:
        many = KEPT + 5
        await shown.record(
            *published(1), *(said(number, UUID(int=number), 3) for number in range(1, many + 1))
        )
        body, _ = await shown.product(1)
        assert [review["id"] for review in body["reviews"]] == list(range(many - SHOWN + 1, many + 1))
        assert (body["reviewCount"], body["rating"]) == (many, 3)
        await shown.record(hidden(many, 3), deleted(many - 1, 3), edited(many - 2, UUID(int=many - 2), 3, 5))
        assert await embedded(shown) == list(range(many - SHOWN - 1, many - 1))
        await shown.record(unhidden(many, 3), hidden(1, 3), edited(2, UUID(int=2), 3, 1), deleted(2, 1))
        assert await embedded(shown) == [*range(many - SHOWN, many - 1), many]
        assert await shown.reads.one(SUMS, 1) == (many - 3, 3 * (many - 4) + 5, 3.0)
        document = await shown.reads.one("SELECT document, cardinality(subjects) FROM products")
        assert document is not None
        assert len(json.loads(document[0])["opinions"]) == KEPT - 1
        assert document[1] == KEPT + 1
        assert (await shown.rebuilt(PRODUCTS)).startswith("equal to generation 1")

    async def test_marks_a_buyers(self, shown: Shown) -> None:
        await shown.record(*published(1), said(1, ADA, 5), said(2, BOB, 4, verified_purchase=True))
        body, _ = await shown.product(1)
        assert [review["verifiedPurchase"] for review in body["reviews"]] == [False, True]
        await shown.record(ReviewPurchaseVerified(review_id=review_id(1), listing_id=listing_id(1)))
        body, _ = await shown.product(1)
        assert [review["verifiedPurchase"] for review in body["reviews"]] == [True, True]
        found = await review_by(shown.reads, review_id(1))
        assert found is not None
        assert found.review.review.verified_purchase


class TestTheList:
    async def test_is_sorted_and_leaves_out_what_is_hidden(self, shown: Shown) -> None:
        await shown.record(
            *published(1),
            *published(2),
            said(1, ADA, 3),
            said(2, BOB, 5),
            said(3, CY, 3),
            said(4, UUID(int=4), 1),
            hidden(4, 1),
            said(5, ADA, 2, about=2),
        )
        assert await listed(shown) == [3, 2, 1]
        assert await listed(shown, SortReviews.OLDEST) == [1, 2, 3]
        assert await listed(shown, SortReviews.RATING) == [2, 3, 1]
        assert await listed(shown, SortReviews.RATING_ASC) == [1, 3, 2]
        assert await listed(shown, skip=1, limit=1) == [2]
        assert await listed(shown, about=2) == [5]
        own = await reviews_by(shown.reads, ADA, Piece())
        assert (own.total, numbers(own)) == (2, [5, 1])
        assert [found.product_title for found in own.reviews] == ["Listing 2", "Listing 1"]
        for wanted, expected in ((None, [5, 4, 3, 2, 1]), (True, [4]), (False, [5, 3, 2, 1])):
            page = await reviews_to_moderate(shown.reads, wanted, Piece())
            assert (page.total, numbers(page)) == (len(expected), expected)

    async def test_forgets_who_said_it_and_what(self, shown: Shown) -> None:
        await shown.record(*published(1), said(1, ADA, 5), said(2, BOB, 2), hidden(1, 5), unhidden(1, 5))
        await shown.record(edited(1, ADA, 5, 4))
        assert await shown.holds("edited 1")
        await shown.record(erased(ADA))
        found = await review_by(shown.reads, review_id(1))
        assert found is not None
        body = review_body(found.review.review, found.product_number, whole_email=True)
        gone = ("rating", "comment", "reviewerName", "reviewerEmail")
        assert tuple(body[name] for name in gone) == (4, "", "", "")
        for words in ("edited 1", "Writer 1", "writer1@"):
            assert not await shown.holds(words)
        assert await shown.holds("Writer 2")
        assert await shown.reads.one(SUMS, 1) == (2, 6, 3.0)
        await shown.stand.shop.keys.destroy(ADA)
        for projection in (PRODUCTS, REVIEW_LIST):
            assert (await shown.rebuilt(projection)).startswith("equal to generation 1")
        await shown.record(deleted(1, 4))
        assert await listed(shown) == [2]

    async def test_needs_no_sorting_of_all_there_are(self, shown: Shown) -> None:
        """Each way of asking has an index to walk along; what is sorted is the page alone."""
        await shown.record(*published(1), said(1, ADA, 5))
        product = await reviewed_product(shown.reads, 1)
        assert product is not None
        async with shown.stand.pool.connection() as connection, connection.transaction():
            explained = Explained(connection)
            for sort in SortReviews:
                await reviews_of(explained, product, sort, Piece(skip=10))
            await reviews_by(explained, ADA, Piece(skip=10))
            for wanted in (None, True, False):
                await reviews_to_moderate(explained, wanted, Piece(skip=10))
        assert len(explained.plans) == len(SortReviews) + 4
        for plan in explained.plans:
            _, all_there_are = plan.split("Limit", 1)
            assert "Index Scan" in all_there_are, plan
            assert "Sort" not in all_there_are, plan


class TestWishlists:
    async def test_show_what_can_be_seen_at_the_price_of_now(self, shown: Shown) -> None:
        await shown.record(*published(1), *published(2), *published(3, seller_of(ADA)))
        await shown.record(*(wished(BOB, number) for number in (1, 2, 3)), wished(ADA, 1))
        assert await wishes(shown, BOB) == {3: 10, 2: 10, 1: 10}
        await shown.record(ListingPriceChanged(listing_id=listing_id(1), price=Money(750)))
        assert await wishes(shown, BOB) == {3: 10, 2: 10, 1: 7.5}
        await shown.record(
            SellerSuspended(seller_id=NORTH, account_id=CY, cause="admin"),
            ListingUnpublished(listing_id=listing_id(3)),
        )
        assert await wishes(shown, BOB) == {}
        assert [each["productId"] for each in await wishes_of(shown.reads, BOB)] == [1, 2, 3]
        await shown.record(
            SellerReinstated(seller_id=NORTH, account_id=CY, cause="admin"),
            ListingPublished(listing_id=listing_id(3)),
        )
        assert await wishes(shown, BOB) == {3: 10, 2: 10, 1: 7.5}
        await shown.record(WishlistItemRemoved(account_id=BOB, listing_id=listing_id(2)))
        assert await wishes(shown, BOB) == {3: 10, 1: 7.5}
        page = await wishlist_page(shown.reads, BOB, Piece(skip=1, limit=1))
        assert (page.total, [item.number for item in page.items]) == (2, [1])
        assert (await shown.rebuilt(WISHLIST_ITEMS)).startswith("equal to generation 1")

    async def test_are_forgotten_with_their_owner(self, shown: Shown) -> None:
        await shown.record(*published(1), *published(2), wished(ADA, 1), wished(ADA, 2), wished(BOB, 1))
        await shown.record(erased(ADA))
        assert await wishes(shown, ADA) == {}
        assert await shown.reads.all("SELECT account_id FROM wishlist_items") == [(BOB,)]
        assert (await shown.rebuilt(WISHLIST_ITEMS)).startswith("equal to generation 1")


def wished(account_id: AccountId, number: int) -> WishlistItemAdded:
    at = NOW + timedelta(minutes=number)
    return WishlistItemAdded(account_id=account_id, listing_id=ListingId(listing_id(number)), added_at=at)


async def wishes(shown: Shown, account_id: AccountId) -> dict[int, float]:
    """The products and their prices, in order."""
    page = await wishlist_page(shown.reads, account_id, Piece())
    assert page.total == len(page.items)
    products = [json.loads(item.product) for item in page.items]
    return {product["id"]: product["price"] for product in products}
