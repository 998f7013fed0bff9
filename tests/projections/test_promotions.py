"""Promotions and the counts of coupons: events in, rows out, and a cart priced from them in one question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.carts.events import CartItemAdded, CartOpened, CouponApplied, CouponRemoved, cart_of
from domain.categories.events import CategoryCreated, CategoryMoved
from domain.kernel import AccountId, CategoryId, Event, ListingId, OrderId, PromotionId, stream_id
from domain.listings.events import ListingCreated, ListingPublished
from domain.money import Money
from domain.orders.pricing import Tariff
from domain.promotions.events import (
    CouponRedeemed,
    CouponRedemptionReleased,
    DiscountType,
    PromotionActivated,
    PromotionCreated,
    PromotionDeactivated,
    PromotionDeleted,
    PromotionUpdated,
    Scope,
    ScopeKind,
    Terms,
    redemptions_of,
)
from domain.sellers.events import HOUSE_SELLER
from projections.adapters.read_pool import ReadPool
from projections.carts.projector import CART_CONTENTS
from projections.carts.query import cart_of_account
from projections.categories.projector import CATEGORY_TREE
from projections.keyset import Piece
from projections.products.projector import PRODUCTS
from projections.projection import Projection
from projections.promotions.projector import PROMOTION_LIST, REDEMPTION_COUNTS
from projections.promotions.query import (
    RUNNING,
    PromotionFilter,
    promotion_by,
    promotions_page,
    running_promotions,
)
from projections.sellers.projector import SELLER_LIST
from tests.projections.engine.shelf import Stand, open_stand

READ_MODELS: tuple[Projection[Any], ...] = (
    PRODUCTS,
    CART_CONTENTS,
    PROMOTION_LIST,
    REDEMPTION_COUNTS,
    CATEGORY_TREE,
    SELLER_LIST,
)
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANN = AccountId(stream_id("account", 1))
LISTING = ListingId(stream_id("listing", 1))
CART = cart_of(ANN)
ORDER = OrderId(stream_id("order", "ORD-1"))


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with open_stand(database_url, *READ_MODELS) as stand:
        yield stand


@asynccontextmanager
async def read_models(stand: Stand) -> AsyncIterator[None]:
    async with stand.running(*READ_MODELS):
        yield


async def record(stand: Stand, *events: tuple[UUID, Event]) -> None:
    """The events, each in its stream, and in all read models."""
    await stand.recorded(events, *READ_MODELS)


def promotion_id(number: int) -> PromotionId:
    return PromotionId(stream_id("promotion", number))


def terms(number: int, **fields: Any) -> Terms:
    defaults: dict[str, Any] = {
        "name": f"Sale {number}",
        "slug": f"sale-{number}",
        "discount_type": DiscountType.PERCENTAGE,
        "percentage": Decimal(10),
        "starts_at": AT,
    }
    return Terms(**{**defaults, **fields})


def created(number: int, *, active: bool = True, **fields: Any) -> tuple[UUID, Event]:
    stream = promotion_id(number)
    return stream, PromotionCreated(
        promotion_id=stream, number=number, active=active, terms=terms(number, **fields)
    )


def of(number: int, event: type[Any], **fields: Any) -> tuple[UUID, Event]:
    return promotion_id(number), event(promotion_id=promotion_id(number), **fields)


def counted(event: type[Any], number: int, account_id: AccountId | None = None) -> tuple[UUID, Event]:
    fact = event(promotion_id=promotion_id(number), order_id=ORDER, account_id=ANN)
    return redemptions_of(promotion_id(number), account_id), fact


class TestTheList:
    async def test_a_slug_that_changes_hands_within_a_batch_is_with_its_new_owner(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        async with read_models(stand):
            await record(stand, created(1, slug="spring"), created(2, slug="sale"))
            await record(
                stand,
                of(2, PromotionDeactivated),
                of(1, PromotionUpdated, terms=terms(1, slug="summer")),
                of(2, PromotionUpdated, terms=terms(2, slug="spring")),
            )
        assert await stand.generations.dead_letters() == []
        for slug, number in (("summer", 1), ("spring", 2)):
            found = await promotion_by(reads, slug)
            assert found is not None
            assert found.document.promotion.number == number

    async def test_what_runs_now_and_applies_by_itself(self, stand: Stand, reads: ReadPool) -> None:
        async with read_models(stand):
            await record(
                stand,
                created(1, order=2),
                created(2, order=1),
                created(3, code="CODE"),
                created(4, active=False),
                created(5),
                of(5, PromotionDeactivated),
                created(6),
                of(6, PromotionDeleted),
                created(7, order=3, active=False),
                of(7, PromotionActivated),
                created(8, starts_at=AT + timedelta(days=1)),
                created(9, ends_at=AT + timedelta(hours=1)),
            )
            for at, numbers in (
                (AT, [9, 2, 1, 7]),
                (AT + timedelta(days=2), [8, 2, 1, 7]),
                (AT - timedelta(seconds=1), []),
            ):
                assert [promotion.number for promotion in await running_promotions(reads, at)] == numbers

    async def test_is_found_filtered_and_counted(self, stand: Stand, reads: ReadPool) -> None:
        async with read_models(stand):
            await record(
                stand,
                created(1, code="TEN"),
                created(2, active=False),
                of(1, PromotionUpdated, terms=terms(1, code="ELEVEN", name="Winter")),
                counted(CouponRedeemed, 1),
                counted(CouponRedeemed, 1, ANN),
                counted(CouponRedeemed, 1),
                counted(CouponRedemptionReleased, 1),
            )
            for reference in (1, promotion_id(1), "sale-1"):
                found = await promotion_by(reads, reference)
                assert found is not None
                assert (found.document.promotion.terms.code, found.used) == ("ELEVEN", 1)
            assert await promotion_by(reads, 3) is None
            for asked, numbers in (
                (PromotionFilter(), [1, 2]),
                (PromotionFilter(active=True), [1]),
                (PromotionFilter(active=False), [2]),
                (PromotionFilter(words="wINt"), [1]),
                (PromotionFilter(words="eleven"), [1]),
                (PromotionFilter(words="%"), []),
            ):
                page = await promotions_page(reads, asked, Piece())
                assert [each.document.promotion.number for each in page.promotions] == numbers
                assert (page.total, page.last) == (len(numbers), None)
            first = await promotions_page(reads, PromotionFilter(), Piece(limit=1))
            assert [each.used for each in first.promotions] == [1]
            for piece in (Piece(skip=1, limit=1), Piece(after=first.last, limit=1, counted=False)):
                page = await promotions_page(reads, PromotionFilter(), piece)
                assert [each.document.promotion.number for each in page.promotions] == [2]


def category(number: int, *, below: int | None = None) -> tuple[UUID, Event]:
    parent = None if below is None else CategoryId(stream_id("category", below))
    category_id = CategoryId(stream_id("category", number))
    return category_id, CategoryCreated(
        category_id=category_id, number=number, name=f"C{number}", slug=f"c{number}", parent_id=parent
    )


class TestTheCart:
    @pytest.mark.parametrize("code", ["", "TEN"])
    async def test_knows_what_is_below_the_category_that_a_promotion_is_for(
        self, stand: Stand, reads: ReadPool, code: str
    ) -> None:
        async def discount() -> float:
            body = msgspec.json.decode(await cart_of_account(reads, ANN, 1, Tariff(), AT))
            taken: float = body["totals"]["discount"]
            return taken

        scope = Scope(kind=ScopeKind.CATEGORIES, category_ids=(CategoryId(stream_id("category", 3)),))
        applied = CouponApplied(cart_id=CART, promotion_id=promotion_id(1), code=code)
        tree = CategoryId(stream_id("category", 1))
        async with read_models(stand):
            await record(stand, category(3), category(2, below=3), category(1), *in_the_cart())
            await record(stand, created(1, scope=scope, code=code), *([(CART, applied)] if code else []))
            assert await discount() == 0
            moved = CategoryMoved(category_id=tree, parent_id=CategoryId(stream_id("category", 2)))
            await record(stand, (tree, moved))
            assert await discount() == 10

    async def test_asks_only_for_promotions_that_run(self, stand: Stand, reads: ReadPool) -> None:
        """An ended one stays active until somebody switches it off: nobody should have to decode it each time."""
        async with read_models(stand):
            await record(
                stand,
                *in_the_cart(),
                created(1, ends_at=AT - timedelta(microseconds=1), starts_at=AT - timedelta(days=1)),
                created(2, starts_at=AT + timedelta(microseconds=1)),
                created(3, starts_at=AT - timedelta(days=1), ends_at=AT, percentage=Decimal(7)),
            )
            rows = await reads.all(f"SELECT p.number FROM promotions p WHERE {RUNNING}", AT, AT)
            assert rows == [(3,)]
            body = msgspec.json.decode(await cart_of_account(reads, ANN, 1, Tariff(), AT))
            assert body["totals"]["discount"] == 7

    async def test_is_priced_by_what_runs_and_by_its_coupon(self, stand: Stand, reads: ReadPool) -> None:
        async def cart() -> dict[str, Any]:
            body: dict[str, Any] = msgspec.json.decode(await cart_of_account(reads, ANN, 1, Tariff(), AT))
            return body

        async with read_models(stand):
            assert (await cart())["totals"]["total"] == 0
            await record(stand, *in_the_cart(), created(1, stackable=True))
            assert (await cart())["totals"] == {
                "subtotal": 100, "discount": 10, "tax": 7.2, "shipping": 5, "total": 102.2,
            }  # fmt: skip
            fields: dict[str, Any] = {
                "code": "FIVE",
                "stackable": True,
                "percentage": Decimal(5),
                "per_customer_limit": 1,
            }
            applied = CouponApplied(cart_id=CART, promotion_id=promotion_id(2), code="FIVE")
            await record(stand, created(2, **fields), (CART, applied))
            body = await cart()
            assert (body["coupon"]["applied"], body["couponDiscount"]) == (True, 4.5)
            assert [each["discount"] for each in body["promotions"]] == [10, 4.5]
            await record(stand, counted(CouponRedeemed, 2), counted(CouponRedeemed, 2, ANN))
            body = await cart()
            assert (body["coupon"]["reason"], body["couponDiscount"]) == ("CUSTOMER_LIMIT_REACHED", 0)
            await record(stand, of(2, PromotionDeleted))
            assert (await cart())["coupon"]["reason"] == "NOT_VALID"
            await record(stand, (CART, CouponRemoved(cart_id=CART)))
            assert (await cart())["coupon"] is None


def in_the_cart() -> list[tuple[UUID, Event]]:
    listing = ListingCreated(
        listing_id=LISTING,
        number=1,
        seller_id=HOUSE_SELLER,
        slug="thing",
        title="Thing",
        description="Worth having.",
        price=Money(10_000),
        category_id=CategoryId(stream_id("category", 1)),
        category="things",
        stock=5,
    )
    return [
        (LISTING, listing),
        (LISTING, ListingPublished(listing_id=LISTING)),
        (CART, CartOpened(cart_id=CART, account_id=ANN)),
        (CART, CartItemAdded(cart_id=CART, listing_id=LISTING, quantity=1)),
    ]
