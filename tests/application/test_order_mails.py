"""What mails about an order say of it, and when they are pointless by now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from application.mail.order_mails import (
    Line,
    OrderMailCause,
    page_of,
    quoted,
    said_of_order,
    tracking_link,
    written,
)
from application.mail.ports import PointlessMailError
from domain.kernel import SellerId
from domain.money import Money
from domain.orders.events import (
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderLine,
    OrderPaymentClosed,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderProcessingStarted,
    OrderRefunded,
    OrderReturnApproved,
    OrderReturnReceived,
    OrderReturnRejected,
    OrderReturnRequested,
    ParcelDelivered,
    ParcelShipped,
    PostalAddress,
    ReturnedLine,
)
from domain.orders.order import ORDERS, Order
from tests.domain.builders import BUYER, NOW, ORDER_ID, listing_id

PATIENCE = timedelta(minutes=30)
OF_ORDER: dict[str, Any] = {"order_id": ORDER_ID, "account_id": BUYER.account_id}
ONE, OTHER = SellerId(UUID(int=1)), SellerId(UUID(int=2))
RETURN = UUID(int=3)


def a_line(number: int, seller_id: SellerId, title: str, quantity: int) -> OrderLine:
    total = Money(1000) * quantity
    return OrderLine(
        listing_id=listing_id(number),
        number=number,
        seller_id=seller_id,
        title=title,
        thumbnail="",
        price=Money(1000),
        discount_percentage=Decimal(0),
        quantity=quantity,
        total=total,
        discounted_total=total,
    )


PHONE = a_line(1, ONE, "A phone", 2)
CASE = a_line(2, OTHER, "A case", 1)
PLACED = OrderPlaced(
    **OF_ORDER,
    number="ORD-2026112101",
    account_number=1,
    lines=(PHONE, CASE),
    subtotal=Money(3000),
    tax=Money(240),
    shipping=Money(500),
    total=Money(3740),
    payment_method="card",
    shipping_address=PostalAddress(
        first_name="Ann", last_name="Lee", address="626 Main Street", city="Phoenix", zip_code="29112"
    ),
    placed_at=NOW,
)
LINKED = OrderPaymentLinked(order_id=ORDER_ID, intent_id="pi_1")
CONFIRMED = OrderConfirmed(**OF_ORDER, intent_id="pi_1", confirmed_at=NOW)
STARTED = OrderProcessingStarted(**OF_ORDER, started_at=NOW)
FAILED = OrderPaymentFailed(
    **OF_ORDER, intent_id="pi_1", code="card_declined", message="Your card was declined."
)
SHIPPED = ParcelShipped(
    **OF_ORDER,
    parcel=2,
    seller_id=OTHER,
    carrier="DHL",
    tracking_number="JJD0001",
    tracking_url="https://dhl.example/JJD0001",
    shipped_at=NOW,
)
DELIVERED = ParcelDelivered(**OF_ORDER, parcel=2, seller_id=OTHER, delivered_at=NOW)
CANCELLED = OrderCancelled(
    **OF_ORDER, cause=CancelCause.ADMIN, reason="Out of\nstock", intent_id="", cancelled_at=NOW
)
REQUESTED = OrderReturnRequested(
    **OF_ORDER,
    return_id=RETURN,
    lines=(ReturnedLine(listing_id=listing_id(1), quantity=1),),
    requested_at=NOW,
)
APPROVED = OrderReturnApproved(**OF_ORDER, return_id=RETURN, approved_at=NOW)
REJECTED = OrderReturnRejected(**OF_ORDER, return_id=RETURN, reason="It is used", rejected_at=NOW)
RECEIVED = OrderReturnReceived(
    **OF_ORDER, return_id=RETURN, restocked=True, refund=Money(1000), refund_id="re", received_at=NOW
)


def order_after(*events: OrderEvent) -> Order:
    return ORDERS.after(None, [PLACED, *events])


def said(event: OrderMailCause, *before: OrderEvent) -> Mapping[str, Any]:
    """Of the order after all that happened ``before`` the mail leaves, the event itself among it."""
    return said_of_order(event, order_after(*before), PATIENCE)


class TestAConfirmation:
    def test_tells_lines_and_address(self) -> None:
        assert said(CONFIRMED, LINKED, CONFIRMED) == {
            "lines": [
                Line(quantity=2, title="A phone", total=PHONE.discounted_total),
                Line(quantity=1, title="A case", total=CASE.discounted_total),
            ],
            "deliver_to": ["Ann Lee", "626 Main Street", "29112 Phoenix"],
        }

    def test_is_sent_when_it_is_paid_or_when_it_is_begun_and_not_twice(self) -> None:
        assert said(STARTED, LINKED, STARTED)
        assert said(STARTED, LINKED, STARTED, CONFIRMED)
        with pytest.raises(PointlessMailError, match="before it was paid"):
            said(CONFIRMED, LINKED, STARTED, CONFIRMED)

    def test_of_what_is_cancelled_says_nothing(self) -> None:
        with pytest.raises(PointlessMailError, match="cancelled"):
            said(CONFIRMED, LINKED, CONFIRMED, CANCELLED)


class TestAFailure:
    def test_tells_why_and_until_when_another_payment_is_waited_for(self) -> None:
        assert said(FAILED, LINKED, FAILED) == {"reason": "Your card was declined.", "until": NOW + PATIENCE}

    @pytest.mark.parametrize(
        "since", [CONFIRMED, CANCELLED, OrderPaymentClosed(order_id=ORDER_ID, intent_id="pi_1")]
    )
    def test_that_nobody_can_do_anything_about_any_more_is_not_told(self, since: OrderEvent) -> None:
        with pytest.raises(PointlessMailError):
            said(FAILED, LINKED, FAILED, since)

    def test_of_one_intent_is_the_first_one_or_a_repeated_one(self) -> None:
        (first,) = order_after(LINKED).fail_payment("pi_1", "card_declined", "no")
        (again,) = order_after(LINKED, first).fail_payment("pi_1", "card_declined", "no")
        another = (
            OrderPaymentClosed(order_id=ORDER_ID, intent_id="pi_1"),
            OrderPaymentLinked(order_id=ORDER_ID, intent_id="pi_2"),
        )
        (other,) = order_after(LINKED, first, *another).fail_payment("pi_2", "card_declined", "no")
        repeated = [
            event.repeated for event in (first, again, other) if isinstance(event, OrderPaymentFailed)
        ]
        assert repeated == [False, True, False]


class TestAParcel:
    def test_is_told_of_with_what_is_in_it_and_how_it_is_followed(self) -> None:
        shipped = said(SHIPPED, LINKED, CONFIRMED, SHIPPED)
        assert shipped["lines"] == [Line(quantity=1, title="A case", total=CASE.discounted_total)]
        assert (shipped["parcel"].number, shipped["parcels"]) == (2, 2)
        assert (shipped["carrier"], shipped["tracking_number"], shipped["tracking_link"]) == (
            "DHL",
            "JJD0001",
            "https://dhl.example/JJD0001",
        )

    def test_that_has_arrived_is_not_on_its_way(self) -> None:
        before = (LINKED, CONFIRMED, SHIPPED, DELIVERED)
        with pytest.raises(PointlessMailError, match="arrived"):
            said(SHIPPED, *before)
        assert [line.title for line in said(DELIVERED, *before)["lines"]] == ["A case"]


class TestACancellation:
    def test_tells_what_is_sent_back(self) -> None:
        paid = said(CANCELLED, LINKED, CONFIRMED, CANCELLED)
        assert paid == {"cause": "admin", "reason": "Out of stock", "owed": Money(3740)}
        assert said(CANCELLED, LINKED, CANCELLED)["owed"] == Money(0)
        refund = OrderRefunded(**OF_ORDER, intent_id="pi_1", refund_id="re", amount=Money(740))
        assert said(CANCELLED, LINKED, CONFIRMED, refund, CANCELLED)["owed"] == Money(3000)

    def test_does_not_repeat_to_buyers_what_they_said(self) -> None:
        own = OrderCancelled(**OF_ORDER, cause=CancelCause.BUYER, reason="No more", cancelled_at=NOW)
        assert said(own, LINKED, own)["reason"] == ""


class TestAReturn:
    def test_is_told_of_with_what_is_sent_back_and_why_it_is_not_taken(self) -> None:
        before = (LINKED, CONFIRMED, DELIVERED, REQUESTED)
        (line,) = said(APPROVED, *before, APPROVED)["lines"]
        assert (line.quantity, line.title) == (1, "A phone")
        assert said(REJECTED, *before, REJECTED)["reason"] == "It is used"

    @pytest.mark.parametrize("since", [REJECTED, RECEIVED])
    def test_that_has_gone_on_since_is_not_approved_any_more(self, since: OrderEvent) -> None:
        with pytest.raises(PointlessMailError):
            said(APPROVED, LINKED, CONFIRMED, DELIVERED, REQUESTED, APPROVED, since)


class TestWordsOfOthers:
    @pytest.mark.parametrize(
        ("typed", "shown"),
        [
            ("A phone, 4.5 inches", "A phone, 4.5 inches"),
            ("St. John & Sons", "St. John & Sons"),
            ("a\r\nBcc: b@example.com", "a Bcc: b@\u200bexample.\u200bcom"),
            ("win at https://evil.example/x", "win at https:\u200b//evil.\u200bexample/x"),
            ("turned \u202e round", "turned round"),
            ("x" * 300, "x" * 199 + "…"),
            (" \n ", ""),
        ],
    )
    def test_stay_on_their_line_and_become_no_link(self, typed: str, shown: str) -> None:
        assert quoted(typed) == shown

    @pytest.mark.parametrize(
        "address", ["https://dhl.example/track?n=JJD0001&l=en#top", "http://dhl.example:8080/1"]
    )
    def test_a_parcel_is_followed_on_the_web(self, address: str) -> None:
        assert tracking_link(address) == address

    @pytest.mark.parametrize(
        "address",
        [
            "",
            "dhl.example/1",
            "javascript:alert(1)",
            "data:text/html,x",
            "https://",
            "https://[::1",
            "https://user@evil.example/",
            'https://x/"onclick="',
            "https://x/a\r\nBcc: b@c.d",
            "https://x/" + "a" * 2000,
        ],
    )
    def test_and_nowhere_else(self, address: str) -> None:
        assert tracking_link(address) == ""

    def test_who_was_erased_has_no_address(self) -> None:
        assert written(PostalAddress()) == []


def test_the_page_of_an_order() -> None:
    assert page_of("https://shop.example", order_after()) == "https://shop.example/orders/ORD-2026112101"
