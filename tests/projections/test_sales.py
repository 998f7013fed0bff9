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
    OrderDisputed,
    OrderLine,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnReceived,
    OrderReturnRequested,
    PostalAddress,
    ReturnedLine,
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


def disputed(number: int, minor: int, status: str, intent: str = "pi_1") -> tuple[UUID, Event]:
    return order(number), OrderDisputed(
        order_id=order(number), intent_id=intent, dispute_id="dp_1", amount=Money(minor), status=status
    )


def returned(number: int, of: int, quantity: int, minor: int) -> list[tuple[UUID, Event]]:
    """So many units of the listing ``of`` are asked for, received, and refunded with ``minor``."""
    return_id = uuid5(order(number), f"{of}")
    return [
        (order(number), event)
        for event in (
            OrderReturnRequested(
                order_id=order(number),
                account_id=ANN,
                return_id=return_id,
                lines=(ReturnedLine(listing_id=listing(of), quantity=quantity),),
                reason="Ann finds it too small",
                requested_at=NOON,
            ),
            OrderReturnReceived(
                order_id=order(number),
                account_id=ANN,
                return_id=return_id,
                restocked=True,
                refund=Money(minor),
                refund_id=f"refund {minor}",
                received_at=NOON,
            ),
            OrderRefunded(
                order_id=order(number),
                intent_id="pi_1",
                refund_id=f"refund {minor}",
                amount=Money(minor),
                return_id=return_id,
            ),
        )
    ]


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

    async def test_a_dispute_counts_on_the_day_on_which_it_is_lost_and_not_once_it_is_won(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        sold = DaySales(day=MONDAY, orders=1, revenue=1500, items=2)
        ever: Any = (MONDAY, date(2099, 1, 1))
        await record(
            stand,
            placed(1, 1500, line(1, 2, 1500)),
            confirmed(1, NOON),
            disputed(1, 900, "needs_response"),
            disputed(1, 70, "lost", "pi_twice"),
        )
        assert await sales_by_day(reads, *ever) == [sold]
        before = datetime.now(UTC).date()
        await record(stand, disputed(1, 900, "lost"))
        first, lost = await sales_by_day(reads, *ever)
        assert first == sold
        assert before <= lost.day <= datetime.now(UTC).date()
        assert lost == DaySales(day=lost.day, lost_disputes=900)
        await record(stand, refunded(1, 600))
        after = (await sales_by_day(reads, *ever))[1:]
        assert (sum(day.refunds for day in after), sum(day.lost_disputes for day in after)) == (600, 900)
        await record(stand, disputed(1, 900, "won"))
        after = (await sales_by_day(reads, *ever))[1:]
        assert (sum(day.refunds for day in after), sum(day.lost_disputes for day in after)) == (600, 0)

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


class TestWhatWentBack:
    """Of an order over 20.00: 8.00 of ours, 10.00 of another seller's, 2.00 of tax and shipping."""

    LINES = (line(1, 2, 800), line(2, 4, 1000, seller=OTHER))
    EVER: Any = (MONDAY, date(2099, 1, 1))

    async def test_of_a_return_is_borne_by_the_goods_that_came_back(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(
            stand, placed(1, 2000, *self.LINES), confirmed(1, NOON), *returned(1, of=2, quantity=2, minor=500)
        )
        assert await self.of_sellers(reads) == {HOUSE_SELLER: (800, 0, 0), OTHER: (1000, 500, 0)}
        assert await self.of_products(reads) == {listing(1): (800, 0, 0), listing(2): (1000, 500, 0)}
        assert await self.of_one(reads, OTHER) == (1000, 500, 0)
        assert await self.of_one(reads, HOUSE_SELLER) == (800, 0, 0)

    async def test_for_no_return_is_borne_by_all_with_tax_and_shipping(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(
            stand,
            placed(1, 2000, *self.LINES),
            confirmed(1, NOON),
            refunded(1, 1000),
            disputed(1, 500, "lost"),
        )
        assert await self.of_sellers(reads) == {HOUSE_SELLER: (800, 400, 200), OTHER: (1000, 500, 250)}
        assert await self.of_products(reads) == {listing(1): (800, 400, 200), listing(2): (1000, 500, 250)}
        for seller, figures in (await self.of_sellers(reads)).items():
            assert await self.of_one(reads, SellerId(seller)) == figures
        (*_, last) = await sales_by_day(reads, *self.EVER)
        assert (last.refunds, last.lost_disputes) == (1000, 500)
        await record(stand, came_back(1, 1000), disputed(1, 500, "won"))
        assert await self.of_sellers(reads) == {HOUSE_SELLER: (800, 0, 0), OTHER: (1000, 0, 0)}

    async def test_is_told_of_those_too_of_whom_nothing_was_sold_meanwhile(
        self, stand: Stand, reads: ReadPool
    ) -> None:
        await record(stand, placed(1, 1000, line(2, 4, 1000, seller=OTHER)), confirmed(1, NOON))
        before = datetime.now(UTC).date()
        await record(stand, refunded(1, 1000))
        meanwhile: Any = (before, date(2099, 1, 1))
        assert await sales_by_seller(reads, *meanwhile) == [
            SoldBy(seller_id=OTHER, number=None, name=None, orders=0, items=0, revenue=0, refunds=1000)
        ]
        assert await sales_by_product(reads, *meanwhile) == [
            SoldProduct(
                listing_id=listing(2), number=None, title=None, orders=0, items=0, revenue=0, refunds=1000
            )
        ]
        (day,) = await sales_of_seller(reads, OTHER, *meanwhile)
        assert day == DaySales(day=day.day, refunds=1000)
        assert await sales_by_seller(reads, MONDAY, MONDAY) == [
            SoldBy(seller_id=OTHER, number=None, name=None, orders=1, items=4, revenue=1000)
        ]

    async def of_sellers(self, reads: ReadPool) -> dict[UUID, tuple[int, int, int]]:
        shares = await sales_by_seller(reads, *self.EVER)
        return {share.seller_id: (share.revenue, share.refunds, share.lost_disputes) for share in shares}

    async def of_products(self, reads: ReadPool) -> dict[UUID, tuple[int, int, int]]:
        shares = await sales_by_product(reads, *self.EVER)
        return {share.listing_id: (share.revenue, share.refunds, share.lost_disputes) for share in shares}

    async def of_one(self, reads: ReadPool, seller: SellerId) -> tuple[int, int, int]:
        days = await sales_of_seller(reads, seller, *self.EVER)
        revenue, refunds, lost = (
            sum(getattr(day, name) for day in days) for name in ("revenue", "refunds", "lost_disputes")
        )
        return revenue, refunds, lost


async def test_nothing_personal_is_kept(stand: Stand) -> None:
    await record(stand, placed(1, 1500, line(1, 1, 1500)), confirmed(1, NOON), refunded(1, 5))
    await record(stand, *returned(1, of=1, quantity=1, minor=7), disputed(1, 9, "lost"))
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
