"""Cancelling orders, closing their payments and sending money back, whoever comes first; on a log in memory."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal

import pytest

from application.carts.filling import AddToCart
from application.errors import PaymentProviderError
from application.orders.cancelling import CancelOrder, CancelUnpaidOrder, cancel_order
from application.payments.closing import ClosePayment, SendRefund
from application.payments.paying import (
    ConfirmPayment,
    PaymentResult,
    RecordPaymentResult,
    RequestPayment,
    record_payment_result,
    request_payment,
)
from application.ports import (
    AlreadyAnsweredError,
    Answer,
    Metadata,
    Once,
    PaymentIntent,
    ProviderRefund,
)
from application.processes.close_payment import close_payment_of
from application.processes.send_refund import send_refund_of
from application.promotions.keeping import CreatePromotion, ScopeWish
from domain.accounts.events import Caller, Role
from domain.kernel import ForbiddenError, OrderId, PaymentId, stream_id
from domain.listings.events import StockReservationReleased, StockRestored
from domain.listings.listing import Listing
from domain.orders.events import (
    CancelCause,
    OrderCancelled,
    OrderRefunded,
    OrderStatus,
    PaymentStatus,
)
from domain.orders.order import (
    ORDERS,
    UNPAID_AFTER,
    Order,
    OrderCancelledError,
    OrderNotFoundError,
)
from domain.payments.events import (
    PaymentIntentCancelled,
    PaymentSucceeded,
    RefundRequested,
    RefundSucceeded,
)
from domain.payments.payment import PAYMENTS, Payment, PaymentFailedError, PaymentNotFoundError
from domain.promotions.events import (
    CouponRedemptionReleased,
    DiscountType,
    ScopeKind,
    Terms,
    redemptions_of,
)
from domain.promotions.redemptions import REDEMPTIONS
from tests.application.shop import METADATA, Shop


@pytest.fixture
def shop() -> Shop:
    return Shop()


class Bought:
    """Two units of something that there are ten of, and the payment that was prepared for them."""

    def __init__(
        self, shop: Shop, buyer: Caller, listing: Listing, order: Order, intent: PaymentIntent
    ) -> None:
        self.shop = shop
        self.buyer = buyer
        self.listing = listing
        self.order = order
        self.intent = intent

    @classmethod
    async def by(cls, shop: Shop, name: str = "emily", **fields: str) -> Bought:
        listing, buyer = await shop.listing(), await shop.buyer(name)
        order = await shop.order(buyer, (listing, 2), **fields)
        await shop.handle(RequestPayment(order_id=order.id))
        return cls(shop, buyer, listing, order, shop.provider.intents[f"order-{order.id}"])

    async def pay(self) -> None:
        """At the provider, which tells us nothing."""
        self.shop.provider.become(self.intent.id, "succeeded")

    async def webhook(self) -> None:
        if (await self.shop.provider.intent(self.intent.id)).status == "succeeded":
            await self.shop.handle(self.shop.paid(self.intent))

    async def cancel(self, **fields: str) -> Order:
        command = CancelOrder(order_id=self.order.id, caller=self.buyer, **fields)
        order: Order = (await self.shop.handle(command)).state
        return order

    async def time_out(self) -> None:
        await self.shop.handle(CancelUnpaidOrder(order_id=self.order.id))

    async def react(self) -> None:
        """As the reactor does, until nothing follows any more."""
        position = 0
        while events := await self.shop.events_after(position):
            position += len(events)
            for event in events:
                commands: list[ClosePayment] | list[SendRefund] = []
                if isinstance(event, OrderCancelled):
                    commands = close_payment_of(event)
                elif isinstance(event, RefundRequested):
                    commands = send_refund_of(event)
                for command in commands:
                    await self.shop.handle(command)

    async def now(self) -> Order:
        order: Order = await self.shop.now(ORDERS, self.order.id)
        return order

    async def payment(self) -> Payment:
        payment: Payment = await self.shop.now(PAYMENTS, stream_id("payment", self.intent.id))
        return payment

    async def stock(self) -> tuple[int, int]:
        listing = await self.shop.listing_now(self.listing)
        return listing.stock, listing.reserved


class TestCancelling:
    async def test_order_and_stock_move_in_one_append_and_the_payment_is_closed_after(
        self, shop: Shop
    ) -> None:
        bought = await Bought.by(shop)
        head = await shop.log.head()
        order = await bought.cancel(reason="late")
        assert (order.status, order.cancel_reason, order.cancel_cause) == (
            OrderStatus.CANCELLED,
            "late",
            CancelCause.BUYER,
        )
        assert [type(event) for event in await shop.events_after(head)] == [
            OrderCancelled,
            StockReservationReleased,
        ]
        assert await bought.stock() == (10, 0)
        head = await shop.log.head()
        await bought.react()
        assert [type(event) for event in await shop.events_after(head)] == [PaymentIntentCancelled]
        assert (await shop.provider.intent(bought.intent.id)).status == "canceled"

    async def test_of_a_paid_one_the_money_goes_back_once(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        await bought.pay()
        await bought.webhook()
        assert await bought.stock() == (8, 0)
        head = await shop.log.head()
        await bought.cancel()
        assert [type(event) for event in await shop.events_after(head)] == [
            OrderCancelled,
            RefundRequested,
            StockRestored,
        ]
        for _ in range(2):
            await bought.react()
        assert [type(event) for event in await shop.events_after(head + 3)] == [
            RefundSucceeded,
            OrderRefunded,
        ]
        assert [refund.amount for refund in shop.provider.sent_back.values()] == [bought.order.total.minor]
        assert (await bought.now()).payment_status is PaymentStatus.REFUNDED
        assert await bought.stock() == (10, 0)

    async def test_its_coupon_can_be_used_again(self, shop: Shop) -> None:
        terms = Terms(
            name="Ten",
            slug="",
            code="TEN",
            discount_type=DiscountType.PERCENTAGE,
            percentage=Decimal(10),
            starts_at=shop.clock.at,
            usage_limit=1,
            per_customer_limit=1,
        )
        promotion = (
            await shop.handle(CreatePromotion(terms=terms, scope=ScopeWish(kind=ScopeKind.ALL)))
        ).state
        bought = await Bought.by(shop, coupon_code="ten")
        counts = [redemptions_of(promotion.id), redemptions_of(promotion.id, bought.buyer.account_id)]
        assert [(await shop.now(REDEMPTIONS, count)).used for count in counts] == [1, 1]
        head = await shop.log.head()
        await bought.cancel()
        released = [type(event) for event in await shop.events_after(head)]
        assert released.count(CouponRedemptionReleased) == 2
        assert [(await shop.now(REDEMPTIONS, count)).used for count in counts] == [0, 0]
        assert (await shop.order(bought.buyer, (bought.listing, 1), coupon_code="TEN")).coupon_code == "TEN"

    async def test_what_costs_nothing_is_cancelled_without_any_money(self, shop: Shop) -> None:
        for kind in (DiscountType.PERCENTAGE, DiscountType.FREE_SHIPPING):
            terms = Terms(
                name="Free",
                slug="",
                discount_type=kind,
                percentage=Decimal(100),
                starts_at=shop.clock.at,
                stackable=True,
            )
            await shop.handle(CreatePromotion(terms=terms, scope=ScopeWish(kind=ScopeKind.ALL)))
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 2))
        head = await shop.log.head()
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        assert [type(event) for event in await shop.events_after(head)] == [OrderCancelled, StockRestored]
        assert (await shop.listing_now(listing)).stock == 10

    async def test_twice_is_once(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        first = await bought.cancel(reason="late")
        head = await shop.log.head()
        assert await bought.cancel(reason="again") == first
        assert await shop.log.head() == head

    async def test_a_repeated_request_is_answered_as_the_first(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        once = Once(
            scope=f"user:{bought.buyer.account_id}",
            key="k",
            request_hash=b"h",
            answer=lambda changed: Answer(status=200, body=changed.state.number.encode()),
        )
        command = CancelOrder(order_id=bought.order.id, caller=bought.buyer)
        await shop.handle(command, Metadata(actor="test", once=once))
        head = await shop.log.head()
        with pytest.raises(AlreadyAnsweredError):
            await shop.handle(command, Metadata(actor="test", once=once))
        assert await shop.log.head() == head

    async def test_strangers_and_the_unknown_are_refused(self, shop: Shop) -> None:
        bought, stranger = await Bought.by(shop), await shop.buyer("mallory")
        head = await shop.log.head()
        with pytest.raises(ForbiddenError):
            await shop.handle(CancelOrder(order_id=bought.order.id, caller=stranger))
        with pytest.raises(OrderNotFoundError):
            await shop.handle(CancelOrder(order_id=OrderId(stream_id("order", "ORD-1")), caller=bought.buyer))
        assert await shop.log.head() == head
        admin = Caller(account_id=stranger.account_id, number=2, roles=frozenset({Role.ADMIN}))
        order = (await shop.handle(CancelOrder(order_id=bought.order.id, caller=admin))).state
        assert order.cancel_cause is CancelCause.ADMIN

    async def test_nothing_is_to_be_paid_afterwards(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        await bought.cancel()
        head = await shop.log.head()
        with pytest.raises(OrderCancelledError):
            await shop.handle(RequestPayment(order_id=bought.order.id, caller=bought.buyer))
        confirm = ConfirmPayment(
            intent_id=bought.intent.id, payment_method="pm_card_visa", caller=bought.buyer
        )
        with pytest.raises(OrderCancelledError):
            await shop.handle(confirm)
        failed = RecordPaymentResult(result=PaymentResult.FAILED, intent=bought.intent)
        await shop.handle(failed)
        assert (await bought.now()).status is OrderStatus.CANCELLED
        assert (await shop.provider.intent(bought.intent.id)).status == "requires_payment_method"
        assert await shop.log.head() == head + 1

    async def test_one_that_another_process_prepares_just_then_is_not_left_open(self, shop: Shop) -> None:
        """It has seen the order a moment ago, when that still was to be paid."""
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        there = shop.another_store()
        await there.load(ORDERS, order.id)
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        head = await shop.log.head()
        with pytest.raises(OrderCancelledError):
            await request_payment(
                RequestPayment(order_id=order.id), METADATA, store=there, payments=shop.provider
            )
        assert [intent.status for intent in shop.provider.intents.values()] == ["canceled"]
        assert await shop.log.head() == head

    async def test_a_payment_that_is_prepared_at_that_moment_is_closed_too(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        store = shop.store
        prepared = False

        async def load(decider: object, stream: object) -> object:
            nonlocal prepared
            loaded = await type(store).load(store, decider, stream)  # type: ignore[arg-type, var-annotated]
            if not prepared:
                prepared = True
                await shop.handle(RequestPayment(order_id=order.id))
            return loaded

        class Slow:
            """Lets a payment be prepared between the look at the order and the decision."""

            change_together = store.change_together

            def __init__(self) -> None:
                self.load = load

        slow: object = Slow()
        await cancel_order(
            CancelOrder(order_id=order.id, caller=buyer),
            METADATA,
            store=slow,  # type: ignore[arg-type]
            clock=shop.clock,
        )
        (cancelled,) = [event for event in await shop.events_after(0) if isinstance(event, OrderCancelled)]
        assert cancelled.intent_id == "pi_1"


class TestWaitingTooLong:
    async def test_an_unpaid_order_is_cancelled_after_half_an_hour_and_not_before(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        head = await shop.log.head()
        shop.clock.at += UNPAID_AFTER - timedelta(seconds=1)
        await bought.time_out()
        assert await shop.log.head() == head
        shop.clock.at += timedelta(seconds=1)
        await bought.time_out()
        assert [type(event) for event in await shop.events_after(head)] == [
            OrderCancelled,
            PaymentIntentCancelled,
            StockReservationReleased,
        ]
        order = await bought.now()
        assert order.cancel_cause is CancelCause.PAYMENT_TIMEOUT
        assert await bought.stock() == (10, 0)
        head = await shop.log.head()
        for _ in range(2):
            await bought.time_out()
            await bought.react()
        assert await shop.log.head() == head

    async def test_one_whose_payment_we_were_not_told_of_is_paid(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        await bought.pay()
        shop.clock.at += UNPAID_AFTER
        await bought.time_out()
        order = await bought.now()
        assert (order.status, order.payment_status) == (OrderStatus.PROCESSING, PaymentStatus.PAID)
        assert await bought.stock() == (8, 0)

    async def test_one_whose_payment_is_being_made_waits_for_its_end(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        shop.provider.become(bought.intent.id, "processing")
        shop.clock.at += UNPAID_AFTER
        head = await shop.log.head()
        await bought.time_out()
        assert await shop.log.head() == head

    async def test_one_that_nobody_prepared_a_payment_for(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        order = await shop.order(buyer, (listing, 1))
        shop.clock.at += UNPAID_AFTER
        await shop.handle(CancelUnpaidOrder(order_id=order.id))
        assert (await shop.now(ORDERS, order.id)).status is OrderStatus.CANCELLED
        assert shop.provider.intents == {}

    async def test_nothing_is_cancelled_while_the_provider_does_not_answer(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def down(_: str) -> PaymentIntent:
            raise PaymentProviderError("down")

        bought = await Bought.by(shop)
        shop.clock.at += UNPAID_AFTER
        head = await shop.log.head()
        monkeypatch.setattr(shop.provider, "cancel_intent", down)
        with pytest.raises(PaymentProviderError):
            await bought.time_out()
        assert await shop.log.head() == head


class TestSendingBack:
    async def test_what_the_provider_refuses_is_kept_for_somebody_to_look_after(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def refuses(*_: object, **__: object) -> ProviderRefund:
            raise PaymentFailedError("no", details={"code": "charge_disputed"})

        bought = await Bought.by(shop)
        await bought.pay()
        await bought.webhook()
        await bought.cancel()
        with monkeypatch.context() as patched:
            patched.setattr(shop.provider, "refund", refuses)
            await bought.react()
        payment = await bought.payment()
        assert [refund.status for refund in payment.refunds.values()] == ["failed"]
        assert (await bought.now()).payment_status is PaymentStatus.PAID

    async def test_it_is_tried_again_while_the_provider_does_not_answer(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def down(*_: object, **__: object) -> ProviderRefund:
            raise PaymentProviderError("down")

        bought = await Bought.by(shop)
        await bought.pay()
        await bought.webhook()
        await bought.cancel()
        with monkeypatch.context() as patched:
            patched.setattr(shop.provider, "refund", down)
            with pytest.raises(PaymentProviderError):
                await bought.react()
        await bought.react()
        assert (await bought.now()).payment_status is PaymentStatus.REFUNDED

    async def test_of_a_payment_that_is_not_there(self, shop: Shop) -> None:
        with pytest.raises(PaymentNotFoundError):
            await shop.handle(
                SendRefund(payment_id=PaymentId(stream_id("payment", "pi_0")), refund_id="pi_0-1")
            )


STEPS = ("pay", "webhook", "cancel", "time_out", "react")


class TestWhoeverComesFirst:
    """Paid as it is cancelled, told late, told never: in the end it is sold and paid for, or neither."""

    async def settled(self, bought: Bought) -> None:
        for _ in range(3):
            await bought.webhook()
            await bought.react()
        order, payment = await bought.now(), await bought.payment()
        provider = bought.shop.provider
        taken = (
            bought.order.total.minor if (await provider.intent(bought.intent.id)).status == "succeeded" else 0
        )
        back = sum(refund.amount for refund in provider.sent_back.values())
        stock, reserved = await bought.stock()
        if order.status is OrderStatus.CANCELLED:
            assert (taken - back, stock, reserved) == (0, 10, 0)
            assert order.payment_status is (PaymentStatus.REFUNDED if taken else PaymentStatus.PENDING)
            assert payment.refundable.minor == 0
        elif taken:
            assert (order.payment_status, back, stock, reserved) == (PaymentStatus.PAID, 0, 8, 0)
        else:
            assert (order.status, stock, reserved) == (OrderStatus.PENDING, 10, 2)

    @pytest.mark.parametrize("steps", list(itertools.permutations(STEPS)), ids=" ".join)
    async def test_in_any_order(self, steps: tuple[str, ...]) -> None:
        bought = await Bought.by(Shop())
        bought.shop.clock.at += UNPAID_AFTER
        for step in steps:
            if step == "pay" and (await bought.shop.provider.intent(bought.intent.id)).status == "canceled":
                continue
            await getattr(bought, step)()
        await self.settled(bought)

    @pytest.mark.parametrize("turn", range(10))
    async def test_at_the_same_time_by_two_processes(self, turn: int) -> None:
        shop = Shop()
        bought = await Bought.by(shop)
        await bought.pay()
        here, there = (shop.store, shop.another_store())[:: 1 if turn % 2 else -1]
        cancel = CancelOrder(order_id=bought.order.id, caller=bought.buyer)

        async def later(turns: int, what: Callable[[], Awaitable[object]]) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await what()

        await asyncio.gather(
            later(turn % 4, lambda: cancel_order(cancel, METADATA, store=here, clock=shop.clock)),
            later(
                3 - turn % 4,
                lambda: record_payment_result(
                    shop.paid(bought.intent), METADATA, store=there, clock=shop.clock
                ),
            ),
        )
        assert (await bought.now()).status is OrderStatus.CANCELLED
        await self.settled(bought)

    async def test_a_late_payment_is_asked_back_in_the_same_append(self, shop: Shop) -> None:
        bought = await Bought.by(shop)
        await bought.pay()
        await bought.cancel()
        head = await shop.log.head()
        await bought.webhook()
        await bought.webhook()
        assert [type(event) for event in await shop.events_after(head)] == [PaymentSucceeded, RefundRequested]

    async def test_what_is_bought_from_the_cart_is_not_put_back_there(self, shop: Shop) -> None:
        listing, buyer = await shop.listing(), await shop.buyer()
        await shop.handle(AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1))
        order = await shop.order(buyer)
        await shop.handle(CancelOrder(order_id=order.id, caller=buyer))
        assert await shop.cart_lines(buyer) == {}
