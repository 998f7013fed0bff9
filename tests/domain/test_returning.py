"""What comes back of an order, and what of its money goes back: never more than was paid, and in the end all of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from domain.accounts.events import Caller
from domain.kernel import (
    AccountId,
    ForbiddenError,
    InvalidInputError,
    ListingId,
    PaymentId,
    SellerId,
    stream_id,
)
from domain.listings.events import ListingStatus, StockRestored
from domain.money import Money
from domain.orders.events import (
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderPaymentClosed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnApproved,
    OrderReturnReceived,
    OrderReturnRejected,
    OrderReturnRequested,
    OrderStatus,
    PaymentStatus,
    PostalAddress,
    ReturnedLine,
    ReturnStatus,
)
from domain.orders.invoices import INVOICE_SERIES, InvoiceSeries, invoice_number
from domain.orders.order import (
    ORDERS,
    RETURN_WINDOW,
    Order,
    OrderCannotReturnError,
    OrderStatusError,
    ReturnNotFoundError,
)
from domain.orders.pricing import Tariff, totals_of
from domain.payments.events import (
    PaymentEvent,
    PaymentIntentCreated,
    PaymentSucceeded,
    RefundFailed,
    RefundRequested,
    RefundRetried,
    RefundSucceeded,
)
from domain.payments.payment import (
    PAYMENTS,
    Payment,
    RefundNotFailedError,
    RefundNotFoundError,
    RefundTooLargeError,
)
from domain.placing import line_of
from domain.promotions.events import Offer
from domain.returning import Receipt, receive_return
from domain.sellers.events import seller_of
from tests.domain.builders import ADMIN, BUYER, NOW, ORDER_ID, a_listing, listing_id
from tests.domain.test_promotion_pricing import PATIENT, coupons_st, lines_st, offers_st, tariffs_st

PAYMENT_ID = PaymentId(stream_id("payment", "pi_1"))
SELLER = Caller(account_id=AccountId(stream_id("account", 7)), number=7)
STRANGER = Caller(account_id=AccountId(stream_id("account", 8)), number=8)
OWN, OTHERS = seller_of(SELLER.account_id), SellerId(stream_id("seller", "another"))
FIRST, SECOND = (stream_id("return", number) for number in (1, 2))
LINKED = OrderPaymentLinked(order_id=ORDER_ID, intent_id="pi_1")
CONFIRMED = OrderConfirmed(order_id=ORDER_ID, intent_id="pi_1", confirmed_at=NOW)
PAID = PaymentSucceeded(payment_id=PAYMENT_ID)


def placed(lines: list[OrderLine] | None = None, tariff: Tariff | None = None, **deals: Any) -> OrderPlaced:
    """Three of one thing at 3.33, and one at 10.00 of another seller's, unless ``lines`` say otherwise."""
    if lines is None:
        lines = [
            line_of(a_listing(number=1, price=Money(333), seller_id=OWN), 3, None),
            line_of(a_listing(number=2, price=Money(1000), seller_id=OTHERS), 1, None),
        ]
    totals = totals_of(lines, tariff or Tariff(), **deals)
    return OrderPlaced(
        order_id=ORDER_ID,
        number="ORD-2026112101",
        account_id=BUYER.account_id,
        account_number=BUYER.number,
        lines=tuple(
            replace(line, promotion_discount=totals.shares.get(line.listing_id, Money(0))) for line in lines
        ),
        subtotal=totals.subtotal,
        tax=totals.tax,
        shipping=totals.shipping,
        discount=totals.discount,
        promotions=totals.promotions,
        total=totals.total,
        payment_method="card",
        shipping_address=PostalAddress(),
        placed_at=NOW,
    )


def order_after(*events: OrderEvent, first: OrderPlaced | None = None) -> Order:
    return ORDERS.after(None, [first or placed(), *events])


def delivered(*events: OrderEvent, first: OrderPlaced | None = None) -> Order:
    """Paid and arrived, every parcel of it."""
    order = order_after(LINKED, CONFIRMED, first=first)
    numbers = [parcel.number for parcel in order.parcels]
    arrived = order.advance(OrderStatus.DELIVERED, NOW, parcels=numbers, may_skip=True)
    return ORDERS.after(order, [*arrived, *events])


def payment_of(order: Order, *events: PaymentEvent) -> Payment:
    created = PaymentIntentCreated(
        payment_id=PAYMENT_ID,
        intent_id="pi_1",
        order_id=ORDER_ID,
        account_id=BUYER.account_id,
        amount=order.total,
        client_secret="secret",
        created_at=NOW,
    )
    return PAYMENTS.after(None, [created, *events])


def asked(return_id: UUID = FIRST, **units: int) -> OrderReturnRequested:
    """``one=2, two=1``"""
    numbers = {"one": 1, "two": 2}
    return OrderReturnRequested(
        order_id=ORDER_ID,
        account_id=BUYER.account_id,
        return_id=return_id,
        lines=tuple(
            ReturnedLine(listing_id=listing_id(numbers[name]), quantity=quantity)
            for name, quantity in units.items()
        ),
        reason="too small",
        requested_at=NOW,
    )


def received(order: Order, payment: Payment | None, return_id: UUID = FIRST, **fields: Any) -> Receipt:
    listings = {line.listing_id: a_listing(number=line.number) for line in order.lines}
    return receive_return(order, payment, listings, return_id, **{"at": NOW, **fields})


class TestAskingForIt:
    def test_all_of_it_where_nothing_is_named(self) -> None:
        assert delivered().request_return(FIRST, {}, "too small", NOW, window=RETURN_WINDOW) == [
            OrderReturnRequested(
                order_id=ORDER_ID,
                account_id=BUYER.account_id,
                return_id=FIRST,
                lines=(
                    ReturnedLine(
                        listing_id=listing_id(1), quantity=3, number=1, title="Listing 1", seller_id=OWN
                    ),
                    ReturnedLine(
                        listing_id=listing_id(2), quantity=1, number=2, title="Listing 2", seller_id=OTHERS
                    ),
                ),
                reason="too small",
                requested_at=NOW,
                number="ORD-2026112101",
            )
        ]

    def test_what_has_not_arrived_cannot_come_back(self) -> None:
        for order in (order_after(), order_after(LINKED, CONFIRMED)):
            with pytest.raises(OrderCannotReturnError) as refused:
                order.request_return(FIRST, {}, "", NOW, window=RETURN_WINDOW)
            assert refused.value.details == {"status": order.status.value}

    def test_of_several_parcels_what_has_arrived_can(self) -> None:
        order = order_after(LINKED, CONFIRMED)
        first = order.advance(OrderStatus.DELIVERED, NOW, parcels=[1], may_skip=True)
        order = order_after(LINKED, CONFIRMED, *first)
        assert order.returnable() == {listing_id(1): 3}
        with pytest.raises(OrderCannotReturnError) as refused:
            order.request_return(FIRST, {listing_id(2): 1}, "", NOW, window=RETURN_WINDOW)
        assert refused.value.details == {"items": [{"productId": 2, "returnable": 0}]}

    def test_no_more_than_was_bought_and_nothing_twice(self) -> None:
        with pytest.raises(OrderCannotReturnError) as refused:
            delivered().request_return(FIRST, {listing_id(1): 4}, "", NOW, window=RETURN_WINDOW)
        assert refused.value.details == {"items": [{"productId": 1, "returnable": 3}]}
        partly = delivered(asked(one=2))
        assert partly.returnable() == {listing_id(1): 1, listing_id(2): 1}
        wholly = delivered(asked(one=2), asked(SECOND, one=1, two=1))
        with pytest.raises(OrderCannotReturnError):
            wholly.request_return(FIRST, {}, "", NOW, window=RETURN_WINDOW)

    def test_what_was_refused_can_be_asked_for_again(self) -> None:
        order = delivered(asked(one=3))
        order = delivered(asked(one=3), *order.reject_return(FIRST, "worn", NOW))
        assert order.returnable() == {listing_id(1): 3, listing_id(2): 1}

    def test_what_is_not_of_the_order_is_no_good(self) -> None:
        with pytest.raises(InvalidInputError) as refused:
            delivered().request_return(FIRST, {listing_id(9): 1}, "", NOW, window=RETURN_WINDOW)
        assert list(refused.value.details) == ["items"]

    def test_it_can_be_returned_for_so_long(self) -> None:
        order = delivered()
        assert order.request_return(FIRST, {}, "", NOW + RETURN_WINDOW, window=RETURN_WINDOW)
        late = NOW + RETURN_WINDOW + timedelta(seconds=1)
        with pytest.raises(OrderCannotReturnError) as refused:
            order.request_return(FIRST, {}, "", late, window=RETURN_WINDOW)
        assert refused.value.details == {"days": 30}


class TestJudgingIt:
    def test_is_for_admins_and_for_who_sold_all_of_it(self) -> None:
        own = delivered(asked(one=1))
        own.require_return_judged_by(ADMIN, FIRST)
        own.require_return_judged_by(SELLER, FIRST)
        mixed = delivered(asked(one=1, two=1))
        mixed.require_return_judged_by(ADMIN, FIRST)
        for order, caller in ((mixed, SELLER), (own, BUYER), (own, STRANGER)):
            with pytest.raises(ForbiddenError):
                order.require_return_judged_by(caller, FIRST)
        with pytest.raises(ReturnNotFoundError):
            own.require_return_judged_by(ADMIN, SECOND)

    def test_twice_is_once(self) -> None:
        order = delivered(asked(one=1))
        approved = order.approve_return(FIRST, NOW)
        assert approved == [
            OrderReturnApproved(
                order_id=ORDER_ID, account_id=BUYER.account_id, return_id=FIRST, approved_at=NOW
            )
        ]
        after = delivered(asked(one=1), *approved)
        assert (after.return_status, after.approve_return(FIRST, NOW)) == (ReturnStatus.APPROVED, [])
        rejected = after.reject_return(FIRST, "worn", NOW)
        assert rejected == [
            OrderReturnRejected(
                order_id=ORDER_ID,
                account_id=BUYER.account_id,
                return_id=FIRST,
                reason="worn",
                rejected_at=NOW,
            )
        ]
        assert delivered(asked(one=1), *rejected).reject_return(FIRST, "", NOW) == []

    def test_it_only_goes_forward(self) -> None:
        order = delivered(asked(one=1))
        rejected = delivered(asked(one=1), *order.reject_return(FIRST, "", NOW))
        with pytest.raises(OrderStatusError):
            rejected.approve_return(FIRST, NOW)
        with pytest.raises(OrderStatusError):
            received(rejected, payment_of(rejected, PAID))
        payment = payment_of(order, PAID)
        here = delivered(asked(one=1), *received(order, payment).order)
        for judge in (here.approve_return, lambda each, at: here.reject_return(each, "", at)):
            with pytest.raises(OrderStatusError) as refused:
                judge(FIRST, NOW)
            assert refused.value.details == {"returnStatus": "received"}


class TestReceivingIt:
    def test_order_payment_and_stock_move_together(self) -> None:
        order = delivered(asked(one=2))
        receipt = received(order, payment_of(order, PAID))
        worth = Money(666 + 53)  # with its part of the tax
        assert receipt == Receipt(
            order=[
                OrderReturnReceived(
                    order_id=ORDER_ID,
                    account_id=BUYER.account_id,
                    return_id=FIRST,
                    restocked=True,
                    refund=worth,
                    refund_id="pi_1-1",
                    received_at=NOW,
                )
            ],
            payment=[
                RefundRequested(
                    payment_id=PAYMENT_ID,
                    refund_id="pi_1-1",
                    amount=worth,
                    reason="order_returned",
                    requested_at=NOW,
                    order_id=ORDER_ID,
                )
            ],
            stock={
                listing_id(1): [StockRestored(listing_id=listing_id(1), order_id=ORDER_ID, quantity=2)],
            },
        )

    def test_what_is_not_fit_to_be_sold_again_is_not_in_the_stock(self) -> None:
        order = delivered(asked(one=2))
        receipt = received(order, payment_of(order, PAID), restock=False)
        (event,) = receipt.order
        assert isinstance(event, OrderReturnReceived)
        assert (receipt.stock, event.restocked) == ({}, False)

    def test_a_unique_thing_is_on_sale_again(self) -> None:
        listing = a_listing(number=1, stock=1, unique=True)
        sold = [*listing.reserve(ORDER_ID, 1)]
        sold = [*sold, *a_listing(*sold, number=1, stock=1, unique=True).commit(ORDER_ID, 1)]
        listing = a_listing(*sold, number=1, stock=1, unique=True)
        assert listing.status is ListingStatus.SOLD
        order = delivered(asked(one=1))
        listings = {listing.id: listing}
        receipt = receive_return(order, payment_of(order, PAID), listings, FIRST, at=NOW)
        back = a_listing(*sold, *receipt.stock[listing.id], number=1, stock=1, unique=True)
        assert (back.status, back.available) == (ListingStatus.ACTIVE, 1)

    def test_of_what_nobody_has_paid_nothing_goes_back(self) -> None:
        order = order_after()
        sent = order.advance(OrderStatus.DELIVERED, NOW, parcels=[1, 2], may_skip=True)
        order = order_after(*sent, asked(one=1))
        for payment in (None, payment_of(order)):
            receipt = received(order, payment)
            (event,) = receipt.order
            assert isinstance(event, OrderReturnReceived)
            assert (event.refund, event.refund_id, receipt.payment) == (Money(0), "", [])
        with pytest.raises(RefundTooLargeError):
            received(order, None, amount=Money(1))

    def test_another_amount_can_go_back_and_none_at_all(self) -> None:
        order = delivered(asked(one=1))
        payment = payment_of(order, PAID)
        (event,) = received(order, payment, amount=Money(100)).payment
        assert isinstance(event, RefundRequested)
        assert event.amount == Money(100)
        assert received(order, payment, amount=Money(0)).payment == []
        assert received(order, payment, amount=order.total).payment
        with pytest.raises(RefundTooLargeError) as refused:
            received(order, payment, amount=order.total + Money(1))
        assert refused.value.details == {"refundable": order.total.units()}

    def test_no_more_than_is_left_of_the_payment(self) -> None:
        order = delivered(asked(one=3, two=1))
        payment = payment_of(order, PAID)
        (before,) = payment.request_refund(order.total - Money(50), "by_admin")
        (event,) = received(order, payment_of(order, PAID, before)).payment
        assert isinstance(event, RefundRequested)
        assert event.amount == Money(50)

    def test_twice_is_once(self) -> None:
        order = delivered(asked(one=2))
        payment = payment_of(order, PAID)
        receipt = received(order, payment)
        after = delivered(asked(one=2), *receipt.order)
        assert received(after, payment_of(order, PAID, *receipt.payment)) == Receipt()

    def test_all_of_it_is_worth_all_that_was_paid(self) -> None:
        order = delivered(asked(one=3, two=1))
        assert order.worth_of_return(FIRST) == order.total


class TestItsMoney:
    def test_makes_it_refunded_when_it_is_sent(self) -> None:
        order = delivered(asked(one=2))
        receipt = received(order, payment_of(order, PAID))
        here = delivered(asked(one=2), *receipt.order)
        worth = here.returns[0].refund
        sent = here.refund("pi_1", "pi_1-1", worth)
        assert sent == [
            OrderRefunded(
                order_id=ORDER_ID,
                intent_id="pi_1",
                refund_id="pi_1-1",
                amount=worth,
                account_id=BUYER.account_id,
                return_id=FIRST,
            )
        ]
        after = delivered(asked(one=2), *receipt.order, *sent)
        assert (after.return_status, after.refunded, after.payment_status) == (
            ReturnStatus.REFUNDED,
            worth,
            PaymentStatus.PARTIALLY_REFUNDED,
        )

    def test_that_did_not_arrive_after_all_is_with_us_again(self) -> None:
        order = delivered(asked(one=2))
        receipt = received(order, payment_of(order, PAID))
        worth = delivered(asked(one=2), *receipt.order).returns[0].refund
        sent = delivered(asked(one=2), *receipt.order).refund("pi_1", "pi_1-1", worth)
        refunded = delivered(asked(one=2), *receipt.order, *sent)
        failed = refunded.fail_refund("pi_1", "pi_1-1", worth)
        assert failed == [
            OrderRefundFailed(
                order_id=ORDER_ID,
                account_id=BUYER.account_id,
                intent_id="pi_1",
                refund_id="pi_1-1",
                amount=worth,
                return_id=FIRST,
            )
        ]
        after = delivered(asked(one=2), *receipt.order, *sent, *failed)
        assert (after.return_status, after.refunded, after.payment_status) == (
            ReturnStatus.RECEIVED,
            Money(0),
            PaymentStatus.PAID,
        )
        again = delivered(asked(one=2), *receipt.order, *sent, *failed, *sent)
        assert (again.return_status, again.refunded) == (ReturnStatus.REFUNDED, worth)

    def test_of_another_payment_is_none_of_the_orders_business(self) -> None:
        order = delivered()
        assert order.refund("pi_2", "pi_2-1", Money(100)) == []
        assert order.fail_refund("pi_2", "pi_2-1", Money(100)) == []

    def test_counts_by_which_payment_was_made(self) -> None:
        """The buyer paid the first one though it was closed, before the second one."""
        closed = OrderPaymentClosed(order_id=ORDER_ID, intent_id="pi_1")
        second = OrderPaymentLinked(order_id=ORDER_ID, intent_id="pi_2")
        order = order_after(LINKED, closed, second, CONFIRMED)
        assert (order.intent_id, order.paying_intent, order.intents) == ("pi_2", "pi_1", ("pi_1", "pi_2"))
        assert order.refund("pi_1", "pi_1-1", Money(100))
        assert order.refund("pi_2", "pi_2-1", Money(100)) == []


class TestRefundsThatFail:
    FAILED = RefundFailed(payment_id=PAYMENT_ID, refund_id="pi_1-1", code="expired", message="no")
    SENT = RefundSucceeded(payment_id=PAYMENT_ID, refund_id="pi_1-1", provider_id="re_1")

    def requested(self, amount: int = 100) -> RefundRequested:
        return RefundRequested(
            payment_id=PAYMENT_ID, refund_id="pi_1-1", amount=Money(amount), reason="by_admin"
        )

    def test_also_after_they_were_sent(self) -> None:
        order = order_after()
        settled = payment_of(order, PAID, self.requested(), self.SENT)
        assert settled.refundable == order.total - Money(100)
        assert settled.fail_refund("pi_1-1", "expired", "no") == [self.FAILED]
        failed = payment_of(order, PAID, self.requested(), self.SENT, self.FAILED)
        assert failed.refundable == order.total
        assert failed.fail_refund("pi_1-1", "expired", "no") == []
        assert failed.settle_refund("pi_1-1", "re_1") == []

    def test_are_tried_again_under_a_name_of_their_own(self) -> None:
        order = order_after()
        failed = payment_of(order, PAID, self.requested(), self.FAILED)
        retried = failed.retry_refund("pi_1-1")
        assert retried == [
            RefundRetried(
                payment_id=PAYMENT_ID,
                refund_id="pi_1-1",
                retry_id="pi_1-2",
                amount=Money(100),
                tries=2,
                order_id=ORDER_ID,
            )
        ]
        after = payment_of(order, PAID, self.requested(), self.FAILED, *retried)
        assert after.retry_refund("pi_1-1") == []
        assert (after.tries("pi_1-2"), after.first_try("pi_1-2")) == (2, "pi_1-1")
        assert after.refundable == order.total - Money(100)
        again = RefundFailed(payment_id=PAYMENT_ID, refund_id="pi_1-2", code="x", message="no")
        third = payment_of(order, PAID, self.requested(), self.FAILED, *retried, again)
        (event,) = third.retry_refund("pi_1-2")
        assert isinstance(event, RefundRetried)
        assert (event.retry_id, event.tries) == ("pi_1-3", 3)

    def test_only_those_and_only_while_there_is_so_much_left(self) -> None:
        order = order_after()
        with pytest.raises(RefundNotFoundError):
            payment_of(order, PAID).retry_refund("pi_1-1")
        for events in ([self.requested()], [self.requested(), self.SENT]):
            with pytest.raises(RefundNotFailedError):
                payment_of(order, PAID, *events).retry_refund("pi_1-1")
        failed = payment_of(order, PAID, self.requested(), self.FAILED)
        (rest,) = failed.request_refund(order.total, "by_admin")
        with pytest.raises(RefundTooLargeError):
            payment_of(order, PAID, self.requested(), self.FAILED, rest).retry_refund("pi_1-1")


class TestNumbersOfInvoices:
    def test_follow_each_other(self) -> None:
        series: InvoiceSeries | None = None
        given = []
        for _ in range(3):
            (event,) = InvoiceSeries.give(series, 2026, ORDER_ID)
            given.append(invoice_number(event.year, event.serial))
            series = INVOICE_SERIES.fold(series, [event])
        assert given == ["INV-2026-000001", "INV-2026-000002", "INV-2026-000003"]

    def test_an_order_has_one(self) -> None:
        (issued,) = order_after().issue_invoice("INV-2026-000001", NOW)
        assert order_after(issued).invoice_number == "INV-2026-000001"
        assert order_after(issued).issue_invoice("INV-2026-000002", NOW) == []


@st.composite
def orders(draw: st.DrawFn) -> OrderPlaced:
    """Of any price, some of it for nothing, with any promotions and with free shipping."""
    lines = draw(lines_st)
    free = draw(st.sets(st.integers(0, len(lines) - 1), max_size=2))
    lines = [
        replace(line, price=Money(0), total=Money(0), discounted_total=Money(0)) if index in free else line
        for index, line in enumerate(lines)
    ]
    offers: list[Offer] = draw(offers_st)
    return placed(lines, draw(tariffs_st), offers=offers, coupon=draw(coupons_st))


def some_of(data: st.DataObject, left: dict[ListingId, int]) -> dict[ListingId, int]:
    chosen = {each: data.draw(st.integers(0, quantity)) for each, quantity in left.items()}
    return {each: quantity for each, quantity in chosen.items() if quantity}


class TestHoweverItComesBack:
    @PATIENT
    @given(st.data())
    def test_it_adds_up_to_all_that_was_paid_and_never_more(self, data: st.DataObject) -> None:
        first = data.draw(orders())
        order = delivered(first=first)
        payment = payment_of(order, PAID)
        back = Money(0)
        number = 0
        while left := order.returnable():
            number += 1
            return_id = stream_id("return", number)
            # In the end all that is left comes, so that it does come to an end.
            units = some_of(data, left) if number < 5 else {}
            requested = order.request_return(return_id, units, "", NOW, window=RETURN_WINDOW)
            order = ORDERS.fold(order, requested) or order
            receipt = received(order, payment, return_id)
            order = ORDERS.fold(order, receipt.order) or order
            payment = PAYMENTS.fold(payment, receipt.payment) or payment
            refund = order.a_return(return_id).refund
            assert Money(0) <= refund
            back += refund
            assert back <= order.total
            assert back + payment.refundable == order.total
        assert back == order.total

    @PATIENT
    @given(st.data())
    def test_whatever_else_goes_back_it_is_never_more(self, data: st.DataObject) -> None:
        """With refunds of admins in between, refunds that fail, and returns in other amounts."""
        order = delivered(first=data.draw(orders()))
        payment = payment_of(order, PAID)
        for number in range(data.draw(st.integers(1, 6))):
            match data.draw(st.sampled_from(["return", "refund", "fail", "retry"])):
                case "return" if left := order.returnable():
                    return_id = stream_id("return", number)
                    units = some_of(data, left)
                    requested = order.request_return(return_id, units, "", NOW, window=RETURN_WINDOW)
                    order = ORDERS.fold(order, requested) or order
                    receipt = received(order, payment, return_id)
                    order = ORDERS.fold(order, receipt.order) or order
                    payment = PAYMENTS.fold(payment, receipt.payment) or payment
                case "refund" if payment.refundable.minor:
                    amount = Money(data.draw(st.integers(1, payment.refundable.minor)))
                    payment = PAYMENTS.fold(payment, payment.request_refund(amount, "by_admin")) or payment
                case "fail" if payment.refunds:
                    name = data.draw(st.sampled_from(sorted(payment.refunds)))
                    payment = PAYMENTS.fold(payment, payment.fail_refund(name, "x", "no")) or payment
                case "retry" if payment.refunds:
                    name = data.draw(st.sampled_from(sorted(payment.refunds)))
                    try:
                        payment = PAYMENTS.fold(payment, payment.retry_refund(name)) or payment
                    except (RefundNotFailedError, RefundTooLargeError):
                        continue
            assert Money(0) <= payment.refundable <= order.total
