"""Cancelling an order: what it took comes back, once."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.cancelling import Cancellation, cancel_order
from domain.kernel import ForbiddenError, PaymentId, PromotionId, stream_id
from domain.listings.events import StockReservationReleased, StockReserved, StockRestored
from domain.money import Money
from domain.orders.events import (
    AppliedPromotion,
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderPaymentLinked,
    OrderPlaced,
    OrderRefunded,
    OrderStatus,
    PaymentStatus,
    PostalAddress,
)
from domain.orders.order import (
    ORDERS,
    NothingToPayError,
    Order,
    OrderCancelledError,
    OrderCannotCancelError,
)
from domain.payments.events import (
    PaymentEvent,
    PaymentIntentCancelled,
    PaymentIntentCreated,
    PaymentSucceeded,
    RefundFailed,
    RefundRequested,
    RefundSucceeded,
)
from domain.payments.payment import PAYMENTS, Payment, PaymentState, RefundTooLargeError
from domain.placing import WantedLine, order_of
from domain.promotions.events import CouponRedemptionReleased, redemptions_of
from tests.domain.builders import ADMIN, BUYER, NOW, ORDER_ID, a_listing, an_account, deals, listing_id

STRANGER = Caller(account_id=ADMIN.account_id, number=3)
PAYMENT_ID = PaymentId(stream_id("payment", "pi_1"))
PROMOTION = PromotionId(stream_id("promotion", 1))
LINKED = OrderPaymentLinked(order_id=ORDER_ID, intent_id="pi_1")
CONFIRMED = OrderConfirmed(order_id=ORDER_ID, intent_id="pi_1", confirmed_at=NOW)
PAID = PaymentSucceeded(payment_id=PAYMENT_ID)
CLOSED = PaymentIntentCancelled(payment_id=PAYMENT_ID)


def placed() -> OrderPlaced:
    order, _ = order_of(
        [WantedLine(listing_id=listing_id(number), quantity=number) for number in (1, 2)],
        {listing_id(number): a_listing(number=number) for number in (1, 2)},
        deals(),
        sellers={},
        order_id=ORDER_ID,
        number="ORD-2026112101",
        buyer=an_account(),
        shipping_address=PostalAddress(),
        billing_address=None,
        payment_method="card",
    )
    return order


def order_after(*events: OrderEvent, first: OrderPlaced | None = None) -> Order:
    return ORDERS.after(None, [first or placed(), *events])


def payment_after(*events: PaymentEvent) -> Payment:
    created = PaymentIntentCreated(
        payment_id=PAYMENT_ID,
        intent_id="pi_1",
        order_id=ORDER_ID,
        account_id=BUYER.account_id,
        amount=placed().total,
        client_secret="secret",
        created_at=NOW,
    )
    return PAYMENTS.after(None, [created, *events])


def cancelled(order: Order, payment: Payment | None = None, **fields: Any) -> Cancellation:
    listings = {
        line.listing_id: a_listing(
            StockReserved(listing_id=line.listing_id, order_id=order.id, quantity=line.quantity),
            number=line.number,
        )
        for line in order.lines
    }
    return cancel_order(order, payment, listings, **{"cause": CancelCause.BUYER, "at": NOW, **fields})


def a_cancellation(**fields: Any) -> OrderCancelled:
    defaults: dict[str, Any] = {"cause": CancelCause.BUYER, "cancelled_at": NOW}
    return OrderCancelled(order_id=ORDER_ID, account_id=BUYER.account_id, **{**defaults, **fields})


REFUND = RefundRequested(
    payment_id=PAYMENT_ID,
    refund_id="pi_1-1",
    amount=placed().total,
    reason="order_cancelled",
    requested_at=NOW,
    order_id=ORDER_ID,
)


class TestWhatComesBack:
    def test_of_one_that_waits_for_its_payment_the_stock_is_free_again(self) -> None:
        done = cancelled(order_after(LINKED), payment_after(), reason="late")
        assert done.order == [a_cancellation(reason="late", intent_id="pi_1")]
        assert done.payment == []
        assert done.stock == {
            listing_id(number): [
                StockReservationReleased(listing_id=listing_id(number), order_id=ORDER_ID, quantity=number)
            ]
            for number in (1, 2)
        }

    def test_of_a_paid_one_the_stock_is_restored_and_the_money_asked_back(self) -> None:
        done = cancelled(order_after(LINKED, CONFIRMED), payment_after(PAID))
        assert done.order == [a_cancellation()]
        assert done.payment == [REFUND]
        assert done.stock == {
            listing_id(number): [
                StockRestored(listing_id=listing_id(number), order_id=ORDER_ID, quantity=number)
            ]
            for number in (1, 2)
        }

    def test_one_whose_payment_is_closed_needs_nobody_to_close_it(self) -> None:
        done = cancelled(order_after(LINKED), payment_after(), closed=True)
        assert (done.order, done.payment) == ([a_cancellation()], [CLOSED])
        done = cancelled(order_after(LINKED), payment_after(CLOSED))
        assert (done.order, done.payment) == ([a_cancellation()], [])

    def test_one_without_a_payment(self) -> None:
        done = cancelled(order_after())
        assert (done.order, done.payment) == ([a_cancellation()], [])

    def test_its_coupon_can_be_used_again(self) -> None:
        applied = AppliedPromotion(
            promotion_id=PROMOTION, number=1, name="Ten", code="TEN", discount=Money(100)
        )
        with_coupon = replace(placed(), promotions=(applied,))
        released = CouponRedemptionReleased(
            promotion_id=PROMOTION, order_id=ORDER_ID, account_id=BUYER.account_id
        )
        assert cancelled(order_after(first=with_coupon)).redemptions == {
            redemptions_of(PROMOTION): [released],
            redemptions_of(PROMOTION, BUYER.account_id): [released],
        }

    def test_twice_is_once(self) -> None:
        assert cancelled(order_after(a_cancellation())) == Cancellation()


class TestTheRules:
    @pytest.mark.parametrize("status", [OrderStatus.SHIPPED, OrderStatus.DELIVERED])
    def test_what_was_sent_cannot_be_cancelled(self, status: OrderStatus) -> None:
        paid = order_after(LINKED, CONFIRMED)
        sent = paid.advance(OrderStatus.SHIPPED, NOW, parcels=[1], may_skip=False)
        if status is OrderStatus.DELIVERED:
            sent += order_after(LINKED, CONFIRMED, *sent).advance(status, NOW, parcels=[1], may_skip=False)
        order = order_after(LINKED, CONFIRMED, *sent)
        with pytest.raises(OrderCannotCancelError) as refused:
            cancelled(order, payment_after(PAID))
        assert refused.value.details == {"status": status.value}

    def test_it_is_for_the_buyer_and_admins(self) -> None:
        order = order_after()
        order.require_cancellable_by(BUYER)
        order.require_cancellable_by(ADMIN)
        with pytest.raises(ForbiddenError):
            order.require_cancellable_by(STRANGER)

    def test_it_is_over_then(self) -> None:
        order = order_after(LINKED, a_cancellation())
        assert (order.status, order.payment_status) == (OrderStatus.CANCELLED, PaymentStatus.PENDING)
        assert order.confirm("pi_1", NOW) == []
        assert order.fail_payment("pi_1", "card_declined", "no") == []
        with pytest.raises(OrderCancelledError):
            order.require_payable()

    def test_what_costs_nothing_is_not_to_be_paid(self) -> None:
        with pytest.raises(NothingToPayError):
            replace(order_after(), total=Money(0)).require_payable()

    def test_what_came_back_is_told(self) -> None:
        order = order_after(LINKED, CONFIRMED, a_cancellation())
        (first,) = order.refund("pi_1", "pi_1-1", Money(100))
        partly = order_after(LINKED, CONFIRMED, a_cancellation(), first)
        assert (partly.payment_status, partly.refunded) == (PaymentStatus.PARTIALLY_REFUNDED, Money(100))
        rest = OrderRefunded(
            order_id=ORDER_ID, intent_id="pi_1", refund_id="pi_1-2", amount=order.total - Money(100)
        )
        wholly = order_after(LINKED, CONFIRMED, a_cancellation(), first, rest)
        assert (wholly.payment_status, wholly.refunded) == (PaymentStatus.REFUNDED, order.total)


class TestRefunds:
    def test_nobody_gets_back_more_than_they_paid(self) -> None:
        total = placed().total
        with pytest.raises(RefundTooLargeError):
            payment_after().request_refund(Money(1), "gift")
        paid = payment_after(PAID)
        assert paid.refundable == total
        (part,) = paid.request_refund(Money(300), "broken")
        assert isinstance(part, RefundRequested)
        after = payment_after(PAID, part)
        assert after.refundable == total - Money(300)
        with pytest.raises(RefundTooLargeError):
            after.request_refund(total, "all")
        (second,) = after.request_refund(after.refundable, "rest")
        assert isinstance(second, RefundRequested)
        assert second.refund_id != part.refund_id

    def test_what_the_provider_refused_can_be_asked_back_again(self) -> None:
        refused = RefundFailed(payment_id=PAYMENT_ID, refund_id="pi_1-1", code="x", message="no")
        assert payment_after(PAID, REFUND, refused).refundable == placed().total

    def test_it_is_settled_once(self) -> None:
        sent = RefundSucceeded(payment_id=PAYMENT_ID, refund_id="pi_1-1", provider_id="re_1")
        assert payment_after(PAID, REFUND).settle_refund("pi_1-1", "re_1") == [sent]
        settled = payment_after(PAID, REFUND, sent)
        assert settled.settle_refund("pi_1-1", "re_1") == []

    def test_a_closed_payment_is_one_that_failed_and_a_made_one_stays_made(self) -> None:
        assert payment_after(CLOSED).status is PaymentState.FAILED
        assert payment_after(CLOSED).cancel() == []
        assert payment_after(PAID).cancel() == []
