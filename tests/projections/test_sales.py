"""What was sold, by days: events in, figures out, and nobody's name anywhere in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid5

import pytest

from domain.kernel import AccountId, Event, ListingId, OrderId, SellerId, stream_id
from domain.money import Money
from domain.orders.events import (
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
    PostalAddress,
)
from domain.sellers.events import HOUSE_SELLER
from projections.adapters.read_pool import ReadPool
from projections.products.projector import PRODUCTS
from projections.sales.projector import SALES
from projections.sales.query import (
    DaySales,
    SoldBy,
    SoldProduct,
    first_day_of_sales,
    sales_by_day,
    sales_by_product,
    sales_by_seller,
    sales_of_seller,
)
from projections.sellers.projector import SELLER_LIST
from tests.domain.builders import a_listing_created
from tests.projections.engine.shelf import Stand, open_stand

READ_MODELS = (SALES, PRODUCTS, SELLER_LIST)
ANN = AccountId(stream_id("account", 1))
OTHER = SellerId(stream_id("seller", 7))
MONDAY = date(2026, 11, 2)
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def listing(number: int) -> ListingId:
    return ListingId(stream_id("listing", number))


def order(number: int) -> OrderId:
    return OrderId(stream_id("order", f"ORD-{number}"))


def line(
    number: int, quantity: int, minor: int, *, seller: SellerId = HOUSE_SELLER, less: int = 0
) -> OrderLine:
    """``minor`` is what the line came to after the product's own discount."""
    return OrderLine(
        listing_id=listing(number),
        number=number,
        seller_id=seller,
        title=f"Thing {number}",
        thumbnail="",
        price=Money(minor),
        discount_percentage=Decimal(0),
        quantity=quantity,
        total=Money(minor),
        discounted_total=Money(minor),
        promotion_discount=Money(less),
    )


def placed(number: int, total: int, *lines: OrderLine) -> tuple[UUID, Event]:
    return order(number), OrderPlaced(
        order_id=order(number),
        number=f"ORD-{number}",
        account_id=ANN,
        account_number=1,
        lines=lines,
        subtotal=Money(total),
        tax=Money(0),
        shipping=Money(0),
        total=Money(total),
        payment_method="card",
        shipping_address=PostalAddress(first_name="Ann", address="12 Main Street"),
        placed_at=NOON - timedelta(days=1),
    )


def confirmed(number: int, at: datetime, intent: str = "pi_1") -> tuple[UUID, Event]:
    return order(number), OrderConfirmed(order_id=order(number), intent_id=intent, confirmed_at=at)


def refunded(number: int, minor: int, intent: str = "pi_1") -> tuple[UUID, Event]:
    return order(number), OrderRefunded(
        order_id=order(number), intent_id=intent, refund_id=f"refund {minor}", amount=Money(minor)
    )


def came_back(number: int, minor: int, intent: str = "pi_1") -> tuple[UUID, Event]:
    return order(number), OrderRefundFailed(
        order_id=order(number),
        account_id=ANN,
        intent_id=intent,
        refund_id=f"refund {minor}",
        amount=Money(minor),
    )


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with open_stand(database_url, *READ_MODELS) as stand, stand.running(*READ_MODELS):
        yield stand


async def record(stand: Stand, *events: tuple[UUID, Event]) -> None:
    await stand.recorded(events, *READ_MODELS)


class TestByDay:
    async def test_an_order_counts_on_the_day_on_which_its_money_came(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(
            stand,
            placed(1, 1500, line(1, 2, 1000), line(2, 1, 500)),
            placed(2, 300, line(1, 1, 300)),
            placed(3, 900, line(1, 3, 900)),
            placed(4, 10_000, line(1, 1, 10_000)),
            confirmed(1, NOON),
            confirmed(2, NOON + timedelta(hours=11, minutes=59)),
            confirmed(3, datetime(2026, 11, 3, 1, tzinfo=UTC)),
        )
        monday = DaySales(day=MONDAY, orders=2, revenue=1800, items=4)
        tuesday = DaySales(day=date(2026, 11, 3), orders=1, revenue=900, items=3)
        assert await sales_by_day(reads, MONDAY, date(2026, 11, 30)) == [monday, tuesday]
        assert await sales_by_day(reads, date(2026, 11, 3), date(2026, 11, 3)) == [tuesday]
        assert await sales_by_day(reads, date(2026, 10, 1), date(2026, 11, 1)) == []
        assert await first_day_of_sales(reads) == MONDAY

    async def test_refunds_count_on_the_day_on_which_they_were_made(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(
            stand,
            placed(1, 1500, line(1, 2, 1500)),
            confirmed(1, NOON),
            refunded(1, 400),
            refunded(1, 100),
        )
        today = datetime.now(UTC).date()
        of_the_sale, of_the_refunds = await sales_by_day(
            reads, MONDAY, max(today, MONDAY) + timedelta(days=1)
        )
        assert of_the_sale == DaySales(day=MONDAY, orders=1, revenue=1500, items=2)
        assert of_the_refunds.refunds == 500
        assert (of_the_refunds.orders, of_the_refunds.revenue, of_the_refunds.items) == (0, 0, 0)
        assert await sales_by_day(reads, MONDAY, MONDAY) == [of_the_sale]

    async def test_what_did_not_arrive_after_all_went_back_once_when_it_is_sent_again(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(
            stand,
            placed(1, 1500, line(1, 2, 1500)),
            confirmed(1, NOON),
            refunded(1, 400),
            came_back(1, 400),
            came_back(1, 300, "pi_twice"),
            refunded(1, 400),
        )
        days = await sales_by_day(reads, MONDAY, date(2099, 1, 1))
        assert sum(day.refunds for day in days) == 400

    async def test_money_that_was_never_taken_for_an_order_is_no_refund_of_a_sale(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(
            stand,
            placed(1, 1500, line(1, 2, 1500)),
            refunded(1, 1500),
            placed(2, 700, line(1, 1, 700)),
            confirmed(2, NOON, "pi_2"),
            refunded(2, 700, "pi_twice"),
        )
        everything = await sales_by_day(reads, date(2026, 1, 1), date(2099, 1, 1))
        assert everything == [DaySales(day=MONDAY, orders=1, revenue=700, items=1)]

    async def test_nothing_sold_is_nothing(self, reads: ReadPool, stand: Stand) -> None:
        assert await sales_by_day(reads, MONDAY, MONDAY) == []
        assert await first_day_of_sales(reads) is None


class TestShares:
    async def test_are_what_the_goods_were_sold_for(self, stand: Stand, reads: ReadPool) -> None:
        created = a_listing_created(1, title="Lamp")
        await record(
            stand,
            (created.listing_id, created),
            placed(1, 1620, line(1, 2, 1000, less=100), line(2, 1, 500, seller=OTHER)),
            placed(2, 324, line(2, 1, 300, seller=OTHER)),
            placed(3, 99_999, line(1, 9, 99_999)),
            confirmed(1, NOON),
            confirmed(2, NOON + timedelta(days=1)),
        )
        days: Any = (MONDAY, MONDAY + timedelta(days=1))
        assert await sales_by_seller(reads, *days) == [
            SoldBy(seller_id=HOUSE_SELLER, number=None, name=None, orders=1, items=2, revenue=900),
            SoldBy(seller_id=OTHER, number=None, name=None, orders=2, items=2, revenue=800),
        ]
        products = {product.listing_id: product for product in await sales_by_product(reads, *days)}
        assert products[listing(2)] == SoldProduct(
            listing_id=listing(2), number=None, title=None, orders=2, items=2, revenue=800
        )
        assert products[listing(1)].revenue == 900
        assert await sales_of_seller(reads, OTHER, *days) == [
            DaySales(day=MONDAY, orders=1, revenue=500, items=1),
            DaySales(day=MONDAY + timedelta(days=1), orders=1, revenue=300, items=1),
        ]
        assert await sales_of_seller(reads, SellerId(uuid5(OTHER, "nobody")), *days) == []


async def test_nothing_personal_is_kept(stand: Stand) -> None:
    await record(stand, placed(1, 1500, line(1, 1, 1500)), confirmed(1, NOON), refunded(1, 5))
    cancelled = OrderCancelled(
        order_id=order(1), account_id=ANN, cause=CancelCause.BUYER, reason="Ann", cancelled_at=NOON
    )
    await record(stand, (order(1), cancelled))
    async with stand.pool.connection() as connection:
        found = await connection.execute("SELECT s::text, convert_from(s.document, 'utf8') FROM sales s")
        ((row, document),) = await found.fetchall()
    for word in ("Ann", "Main Street", str(ANN), "Thing"):
        assert word not in row
        assert word not in document
