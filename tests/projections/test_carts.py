"""Carts as their owners read them, and those that nobody has come back to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from domain.carts.events import (
    CartAbandoned,
    CartCleared,
    CartItemAdded,
    CartItemRemoved,
    CartOpened,
    CouponApplied,
    cart_of,
)
from domain.kernel import AccountId, Event, PromotionId, stream_id
from domain.listings.events import (
    ListingHidden,
    ListingShippingChosen,
    StockAdjusted,
)
from domain.money import Money
from domain.orders.pricing import Tariff
from domain.sellers.events import HOUSE_SELLER, HouseSellerOpened, ShippingProfile, ShippingProfileAdded
from projections.adapters.read_pool import ReadPool
from projections.carts.due import IdleCart, carts_idle_since
from projections.carts.query import cart_of_account
from tests.projections.engine.shelf import Stand
from tests.projections.test_promotions import (
    ANN,
    AT,
    CART,
    LISTING,
    in_the_cart,
    read_models,
    record,
    stand,
)

__all__ = ["stand"]

PROFILE = UUID(int=7)
PROMOTION = PromotionId(stream_id("promotion", 1))


async def cart(reads: ReadPool, account_id: AccountId = ANN) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.json.decode(await cart_of_account(reads, account_id, 1, Tariff(), AT))
    return body


def added(at: datetime | None, price: int = 10_000) -> tuple[UUID, Event]:
    event = CartItemAdded(cart_id=CART, listing_id=LISTING, quantity=1, price=Money(price), at=at)
    return CART, event


class TestReading:
    async def test_tells_what_has_changed_since_it_was_put_there(self, stand: Stand, reads: ReadPool) -> None:
        async with read_models(stand):
            await record(stand, *in_the_cart(), added(AT, 9_000))
            shown = await cart(reads)
            change = {"from": 90, "to": 100}
            assert shown["notices"] == [{"type": "price_changed", "productId": 1, **change}]
            assert (shown["products"][0]["priceChanged"], shown["updatedAt"]) == (
                change,
                "2026-03-01T12:00:00.000Z",
            )
            await record(stand, (LISTING, StockAdjusted(listing_id=LISTING, stock=1)))
            shown = await cart(reads)
            line = shown["products"][0]
            assert (line["reason"], line["availableQuantity"], shown["total"]) == ("insufficient_stock", 1, 0)
            await record(stand, (LISTING, ListingHidden(listing_id=LISTING, reason="fake")))
            assert "Thing" not in str(await cart(reads))

    async def test_ships_as_its_seller_does(self, stand: Stand, reads: ReadPool) -> None:
        profile = ShippingProfile(name="Boxes", base_cost=Money(900))
        async with read_models(stand):
            await record(
                stand,
                (HOUSE_SELLER, HouseSellerOpened(seller_id=HOUSE_SELLER, shop_name="House", slug="house")),
                (
                    HOUSE_SELLER,
                    ShippingProfileAdded(
                        seller_id=HOUSE_SELLER, account_id=None, profile_id=PROFILE, profile=profile
                    ),
                ),
                *in_the_cart(),
            )
            assert (await cart(reads))["totals"]["shipping"] == 5
            chosen = ListingShippingChosen(listing_id=LISTING, shipping_profile_id=PROFILE)
            await record(stand, (LISTING, chosen))
            assert (await cart(reads))["totals"]["shipping"] == 9

    async def test_of_old_events_the_log_knows_when_they_happened(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        async with read_models(stand):
            await record(stand, *in_the_cart())
            (row,) = await reads.all("SELECT updated_at FROM carts")
            assert datetime.now(UTC) - row[0] < timedelta(minutes=5)
            shown = (await cart(reads))["updatedAt"]
            assert abs(datetime.fromisoformat(shown) - row[0]) < timedelta(milliseconds=1)


class TestIdleCarts:
    async def test_are_found_the_longest_first_in_batches(self, stand: Stand, reads: ReadPool) -> None:
        async with read_models(stand):
            opened = [
                (cart_of(AccountId(stream_id("account", number))), touched)
                for number, touched in ((1, 31), (2, 40), (3, 40), (4, 29), (5, 50), (6, 60), (7, 70))
            ]
            for cart_id, days in opened:
                at = AT - timedelta(days=days)
                account = AccountId(UUID(int=days))
                line = CartItemAdded(cart_id=cart_id, listing_id=LISTING, quantity=1, at=at)
                await record(
                    stand, (cart_id, CartOpened(cart_id=cart_id, account_id=account)), (cart_id, line)
                )
            ids = [cart_id for cart_id, _ in opened]
            at = AT - timedelta(days=60)
            await record(
                stand,
                (ids[4], CartItemRemoved(cart_id=ids[4], listing_id=LISTING, at=at)),
                (ids[4], CouponApplied(cart_id=ids[4], promotion_id=PROMOTION, code="A", at=at)),
                (ids[5], CartCleared(cart_id=ids[5], at=at)),
                (ids[6], CartAbandoned(cart_id=ids[6], at=at)),
            )
            moment = AT - timedelta(days=30)
            found: list[IdleCart] = []
            while batch := await carts_idle_since(reads, moment, found[-1] if found else None, 2):
                found += batch
            middle = sorted(ids[1:3])
            assert [each.cart_id for each in found] == [ids[4], *middle, ids[0]]
            assert found[0].since == at
