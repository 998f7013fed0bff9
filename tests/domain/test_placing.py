"""Placing and paying an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from domain.accounts.events import Caller
from domain.kernel import ForbiddenError, InvalidInputError, ListingId, RuleViolatedError
from domain.listings.events import ListingEvent, StockReserved
from domain.listings.listing import InsufficientStockError, Listing, ProductNotFoundError
from domain.money import Money
from domain.orders.events import (
    OrderConfirmed,
    OrderPaymentFailed,
    OrderPaymentLinked,
    OrderPlaced,
    OrderStatus,
    PaymentStatus,
    PostalAddress,
)
from domain.orders.order import (
    ORDERS,
    Order,
    PaymentAmountMismatchError,
    PaymentTooSmallError,
    PriceChangedError,
)
from domain.orders.pricing import Tariff
from domain.orders.shipping import ShippingRates
from domain.placing import WantedLine, merged, order_of
from domain.sellers.events import (
    PersonalSellerOpened,
    SellerClosed,
    SellerEvent,
    SellerSuspended,
    ShopProfile,
    seller_of,
)
from domain.sellers.seller import SELLERS, Seller
from tests.domain.builders import ADMIN, BUYER, NOW, ORDER_ID, a_listing, an_account, deals, listing_id

STRANGER = Caller(account_id=ADMIN.account_id, number=3)
_SELLER: dict[str, Any] = {"seller_id": seller_of(STRANGER.account_id), "account_id": STRANGER.account_id}
OPENED = PersonalSellerOpened(**_SELLER, account_number=3, profile=ShopProfile(shop_name="jane"))
SUSPENDED = SellerSuspended(**_SELLER, reason="fakes", cause="admin")
CLOSED = SellerClosed(**_SELLER)


def place(
    *wanted: WantedLine,
    listings: list[Listing] | None = None,
    sellers: Sequence[Seller] = (),
    tariff: Tariff | None = None,
) -> tuple[OrderPlaced, dict[ListingId, list[ListingEvent]]]:
    known = listings if listings is not None else [a_listing(number=1), a_listing(number=2)]
    return order_of(
        wanted,
        {listing.id: listing for listing in known},
        deals(tariff),
        sellers={seller.id: seller for seller in sellers},
        order_id=ORDER_ID,
        number="ORD-2026112101",
        buyer=an_account(),
        shipping_address=PostalAddress(city="Phoenix"),
        billing_address=None,
        payment_method="card",
    )


def want(number: int, quantity: int = 1, price: int | None = None) -> WantedLine:
    shown = None if price is None else Money(price)
    return WantedLine(listing_id=listing_id(number), quantity=quantity, price=shown)


class TestPlacing:
    def test_every_line_is_reserved_and_priced(self) -> None:
        placed, reserved = place(want(1, 2), want(2, 3))
        assert placed.total == Money(5900)
        assert reserved == {
            listing_id(1): [StockReserved(listing_id=listing_id(1), order_id=ORDER_ID, quantity=2)],
            listing_id(2): [StockReserved(listing_id=listing_id(2), order_id=ORDER_ID, quantity=3)],
        }

    def test_one_line_that_cannot_be_had_refuses_the_whole(self) -> None:
        with pytest.raises(InsufficientStockError):
            place(want(1), want(2, 11))

    @pytest.mark.parametrize("last", [SUSPENDED, CLOSED], ids=lambda event: type(event).__name__)
    def test_nothing_is_bought_of_a_seller_who_is_gone(self, last: SellerEvent) -> None:
        theirs = a_listing(number=1, seller_id=OPENED.seller_id)
        seller = SELLERS.after(None, [OPENED])
        place(want(1), listings=[theirs], sellers=[seller])
        gone = SELLERS.after(seller, [last])
        with pytest.raises(ProductNotFoundError) as refused:
            place(want(1), listings=[theirs], sellers=[gone])
        assert refused.value.details == {"productId": 1}

    def test_an_unknown_listing(self) -> None:
        with pytest.raises(ProductNotFoundError):
            place(want(3))

    @pytest.mark.parametrize("quantity", [0, -1, 1000, 10**9])
    def test_a_quantity_out_of_bounds(self, quantity: int) -> None:
        with pytest.raises(InvalidInputError):
            place(want(1, quantity))

    def test_a_price_that_is_no_longer_so(self) -> None:
        with pytest.raises(PriceChangedError) as refused:
            place(want(1, price=999))
        assert refused.value.details == {
            "productId": 1,
            "price": 10.0,
            "subtotal": 10.0,
            "discount": 0.0,
            "tax": 0.8,
            "shipping": 5.0,
            "total": 15.8,
        }
        place(want(1, price=1000))

    def test_a_price_that_is_shown_once_counts_for_both(self) -> None:
        for lines in ([want(1, 1, 999), want(1, 1)], [want(1, 1), want(1, 1, 999)]):
            with pytest.raises(PriceChangedError):
                place(*merged(lines))

    def test_what_no_provider_takes_a_payment_for(self) -> None:
        cheap = a_listing(number=1, price=Money(30))
        with pytest.raises(PaymentTooSmallError) as refused:
            place(want(1), listings=[cheap], tariff=Tariff(shipping=ShippingRates(elsewhere=0)))
        assert refused.value.details == {"total": 0.32, "smallest": 0.5}
        place(want(1), listings=[cheap])

    def test_two_prices_for_one_listing(self) -> None:
        with pytest.raises(InvalidInputError):
            merged([want(1, 1, 999), want(1, 1, 1000)])

    def test_a_listing_asked_for_twice_is_one_line(self) -> None:
        assert merged([want(1, 2), want(2), want(1, 3)]) == [want(1, 5), want(2)]


def order_after(*events: OrderConfirmed | OrderPaymentFailed | OrderPaymentLinked) -> Order:
    return ORDERS.after(None, [place(want(1))[0], *events])


LINKED = OrderPaymentLinked(order_id=ORDER_ID, intent_id="pi_1")
CONFIRMED = OrderConfirmed(order_id=ORDER_ID, intent_id="pi_1", confirmed_at=NOW, account_id=BUYER.account_id)
FAILED = OrderPaymentFailed(order_id=ORDER_ID, intent_id="pi_1", code="card_declined", message="no")


class TestPaying:
    def test_an_intent_of_the_right_amount_is_linked_once(self) -> None:
        order = order_after()
        assert order.link_payment("pi_1", order.total) == [LINKED]
        assert order_after(LINKED).link_payment("pi_1", order.total) == []

    def test_another_amount_is_refused(self) -> None:
        with pytest.raises(PaymentAmountMismatchError):
            order_after().link_payment("pi_1", Money(1))

    def test_a_second_intent_is_refused(self) -> None:
        order = order_after(LINKED)
        with pytest.raises(RuleViolatedError):
            order.link_payment("pi_2", order.total)

    def test_paid_means_processing(self) -> None:
        order = order_after(LINKED, CONFIRMED)
        assert (order.status, order.payment_status) == (OrderStatus.PROCESSING, PaymentStatus.PAID)
        assert order.confirm("pi_1", NOW) == []

    def test_a_failure_may_be_followed_by_success_and_not_the_other_way_round(self) -> None:
        assert order_after(LINKED, FAILED).confirm("pi_1", NOW) == [CONFIRMED]
        assert order_after(LINKED, CONFIRMED).fail_payment("pi_1", "card_declined", "no") == []

    def test_only_the_buyer_and_admins_see_it(self) -> None:
        order = order_after()
        order.require_visible_to(BUYER)
        order.require_visible_to(ADMIN)
        with pytest.raises(ForbiddenError):
            order.require_visible_to(STRANGER)
