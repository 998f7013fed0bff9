"""Promotions, their roster and their counts, and what a coupon is worth."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from domain.carts.cart import CARTS, Cart, HeldCoupon
from domain.carts.events import CartOpened, CouponApplied, CouponRemoved, cart_of
from domain.kernel import InvalidInputError, PromotionId, stream_id
from domain.money import Money
from domain.orders.events import PostalAddress
from domain.orders.order import Order
from domain.placing import WantedLine, line_of, order_of
from domain.promotions.events import (
    CouponFault,
    CouponRedeemed,
    CouponRedemptionReleased,
    DiscountType,
    Offer,
    OfferPosted,
    OfferWithdrawn,
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
from domain.promotions.offers import MOST_OFFERS, OFFERS, Offers, TooManyPromotionsError
from domain.promotions.promotion import (
    PROMOTIONS,
    CouponInvalidError,
    Promotion,
    PromotionNotFoundError,
    found,
)
from domain.promotions.redemptions import REDEMPTIONS, Redemptions
from domain.redeeming import Coupon, given_back, quote, redeemed
from tests.domain.builders import BUYER, NOW, ORDER_ID, a_listing, an_account, deals, listing_id

A_DAY = timedelta(days=1)
ID = PromotionId(stream_id("promotion", 1))


def terms(**fields: Any) -> Terms:
    defaults: dict[str, Any] = {
        "name": "Sale",
        "slug": "sale",
        "discount_type": DiscountType.PERCENTAGE,
        "percentage": Decimal(10),
        "starts_at": NOW - A_DAY,
        "ends_at": NOW + A_DAY,
    }
    return Terms(**{**defaults, **fields})


def a_promotion(*events: Any, **fields: Any) -> Promotion:
    created = PromotionCreated(promotion_id=ID, number=1, active=True, terms=terms(**fields))
    return PROMOTIONS.after(None, [created, *events])


def offer(number: int = 1, **fields: Any) -> Offer:
    return Offer(
        promotion_id=PromotionId(stream_id("promotion", number)), number=number, terms=terms(**fields)
    )


class TestKeeping:
    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"ends_at": NOW - A_DAY}, "endDate"),
            ({"percentage": Decimal("100.01")}, "discountValue"),
            ({"percentage": Decimal(-1)}, "discountValue"),
            ({"discount_type": DiscountType.FIXED, "amount": Money(0)}, "discountValue"),
            (
                {"discount_type": DiscountType.FIXED, "amount": Money(1), "max_discount": Money(1)},
                "maxDiscount",
            ),
            ({"usage_limit": 1}, "usageLimit"),
            ({"per_customer_limit": 1}, "perUserLimit"),
            ({"scope": Scope(kind=ScopeKind.CATEGORIES)}, "scopeIds"),
        ],
    )
    def test_terms_that_make_no_sense_are_refused(self, fields: dict[str, Any], field: str) -> None:
        with pytest.raises(InvalidInputError) as refused:
            Promotion.create(ID, 1, terms(**fields), active=True)
        assert list(refused.value.details) == [field]
        with pytest.raises(InvalidInputError) as refused:
            a_promotion().change(terms(**fields))
        assert list(refused.value.details) == [field]

    def test_what_is_so_already_records_nothing(self) -> None:
        promotion = a_promotion()
        assert promotion.change(promotion.terms) == []
        assert promotion.switch(active=True) == []
        assert a_promotion(PromotionDeleted(promotion_id=ID)).delete() == []

    def test_it_is_changed_switched_and_deleted(self) -> None:
        promotion = a_promotion()
        assert promotion.change(terms(name="Other")) == [
            PromotionUpdated(promotion_id=ID, terms=terms(name="Other"))
        ]
        assert promotion.switch(active=False) == [PromotionDeactivated(promotion_id=ID)]
        off = a_promotion(PromotionDeactivated(promotion_id=ID))
        assert off.switch(active=True) == [PromotionActivated(promotion_id=ID)]
        assert a_promotion(PromotionDeactivated(promotion_id=ID), PromotionActivated(promotion_id=ID)).active
        assert promotion.delete() == [PromotionDeleted(promotion_id=ID)]
        with pytest.raises(PromotionNotFoundError):
            found(a_promotion(PromotionDeleted(promotion_id=ID)))

    @pytest.mark.parametrize(
        ("at", "running"),
        [
            (NOW - A_DAY - timedelta(microseconds=1), False),
            (NOW - A_DAY, True),
            (NOW + A_DAY, True),
            (NOW + A_DAY + timedelta(microseconds=1), False),
        ],
    )
    def test_it_runs_from_its_start_to_its_end(self, at: datetime, *, running: bool) -> None:
        assert terms().running(at) is running

    def test_without_an_end_it_runs_for_ever(self) -> None:
        assert terms(ends_at=None).running(NOW + 10_000 * A_DAY)


class TestTheRoster:
    def test_it_holds_what_was_posted_as_it_is_now(self) -> None:
        offers = Offers()
        assert offers.post(offer(), NOW) == [OfferPosted(offer=offer())]
        offers = OFFERS.fold(None, [OfferPosted(offer=offer())]) or offers
        assert offers.post(offer(), NOW) == []
        assert offers.post(offer(name="New"), NOW) == [OfferPosted(offer=offer(name="New"))]
        assert offers.withdraw(ID) == [OfferWithdrawn(promotion_id=ID)]
        gone = OFFERS.fold(offers, [OfferWithdrawn(promotion_id=ID)])
        assert gone == Offers({})
        assert Offers().withdraw(ID) == []

    def test_what_has_ended_makes_room(self) -> None:
        ended = offer(1, ends_at=NOW - timedelta(seconds=1), starts_at=NOW - A_DAY)
        offers = OFFERS.after(None, [OfferPosted(offer=ended)])
        assert offers.running(NOW) == ()
        assert offers.post(offer(2), NOW) == [
            OfferWithdrawn(promotion_id=ended.promotion_id),
            OfferPosted(offer=offer(2)),
        ]
        assert offers.post(ended, NOW) == [OfferWithdrawn(promotion_id=ended.promotion_id)]

    def test_there_is_an_end_to_it(self) -> None:
        offers = OFFERS.after(None, [OfferPosted(offer=offer(number)) for number in range(MOST_OFFERS)])
        with pytest.raises(TooManyPromotionsError):
            offers.post(offer(MOST_OFFERS), NOW)
        assert offers.post(offer(1, name="New"), NOW) == [OfferPosted(offer=offer(1, name="New"))]


class TestCounting:
    def test_what_is_given_back_can_be_used_again(self) -> None:
        events = Redemptions.redeem(ID, ORDER_ID, BUYER.account_id)
        assert events == [CouponRedeemed(promotion_id=ID, order_id=ORDER_ID, account_id=BUYER.account_id)]
        assert REDEMPTIONS.fold(None, events) == Redemptions(1)
        released = Redemptions.release(ID, ORDER_ID, BUYER.account_id)
        assert REDEMPTIONS.fold(None, [*events, *released]) == Redemptions(0)

    def test_an_order_moves_the_count_of_all_and_the_customers_own(self) -> None:
        order = placed_with(coupon(code="TEN"))
        counts = {redemptions_of(ID), redemptions_of(ID, BUYER.account_id)}
        up, down = redeemed(order), given_back(order)
        assert set(up) == set(down) == counts
        fact: dict[str, Any] = {"promotion_id": ID, "order_id": ORDER_ID, "account_id": BUYER.account_id}
        assert all(events == [CouponRedeemed(**fact)] for events in up.values())
        assert all(events == [CouponRedemptionReleased(**fact)] for events in down.values())

    def test_what_applies_by_itself_is_not_counted(self) -> None:
        order = placed_with(None, offers=Offers({ID: offer()}))
        assert order.discount == Money(100)
        assert redeemed(order) == {}


def coupon(*events: Any, used: int = 0, own: int = 0, held: str = "", **fields: Any) -> Coupon:
    promotion = a_promotion(*events, **fields)
    code = held or promotion.terms.code
    return Coupon(
        held=HeldCoupon(promotion_id=ID, code=code), promotion=promotion, used=used, used_by_customer=own
    )


def placed_with(coupon: Coupon | None, *, offers: Offers | None = None) -> Order:
    placed, _ = order_of(
        [WantedLine(listing_id=listing_id(1), quantity=1)],
        {listing_id(1): a_listing()},
        deals(offers=offers, coupon=coupon),
        sellers={},
        order_id=ORDER_ID,
        number="ORD-2026112101",
        buyer=an_account(),
        shipping_address=PostalAddress(),
        billing_address=None,
        payment_method="card",
    )
    return Order.evolve(None, placed)


class TestACoupon:
    def test_takes_its_part_off_the_order_and_its_line(self) -> None:
        order = placed_with(coupon(code="TEN"))
        assert (order.subtotal, order.discount, order.tax, order.total) == (
            Money(1000),
            Money(100),
            Money(72),
            Money(1472),
        )
        assert order.coupon_code == "TEN"
        assert [line.promotion_discount for line in order.lines] == [Money(100)]

    @pytest.mark.parametrize(
        ("held", "reason"),
        [
            (coupon(PromotionDeactivated(promotion_id=ID), code="TEN"), "NOT_VALID"),
            (coupon(PromotionDeleted(promotion_id=ID), code="TEN"), "NOT_VALID"),
            (coupon(code="TEN", starts_at=NOW - 2 * A_DAY, ends_at=NOW - A_DAY), "NOT_VALID"),
            (coupon(code="TEN", starts_at=NOW + A_DAY, ends_at=None), "NOT_VALID"),
            (coupon(code="TEN", held="OLD"), "NOT_VALID"),
            (coupon(code="TEN", usage_limit=2, used=2), "USAGE_LIMIT_REACHED"),
            (coupon(code="TEN", per_customer_limit=1, used=5, own=1), "CUSTOMER_LIMIT_REACHED"),
            (coupon(code="TEN", min_subtotal=Money(1001)), "MINIMUM_NOT_MET"),
            (
                coupon(code="TEN", scope=Scope(kind=ScopeKind.CATEGORIES, categories=("other",))),
                "NOT_APPLICABLE",
            ),
        ],
    )
    def test_that_does_not_hold_refuses_the_order_with_its_reason(self, held: Coupon, reason: str) -> None:
        with pytest.raises(CouponInvalidError) as refused:
            placed_with(held)
        assert refused.value.details == {"code": held.held.code, "reason": reason}

    def test_of_nobody_is_told_like_one_whose_time_is_over(self) -> None:
        over = coupon(code="TEN", starts_at=NOW - 2 * A_DAY, ends_at=NOW - A_DAY)
        nobodys = Coupon(held=over.held, promotion=None)
        told = []
        for each in (over, nobodys):
            with pytest.raises(CouponInvalidError) as refused:
                placed_with(each)
            told.append((refused.value.message, refused.value.details))
        assert told[0] == told[1]

    @pytest.mark.parametrize(
        "fields",
        [
            {"min_subtotal": Money(1000)},
            {"usage_limit": 2, "used": 1},
            {"per_customer_limit": 2, "own": 1},
            {"scope": Scope(kind=ScopeKind.CATEGORIES, categories=("things",))},
            {"scope": Scope(kind=ScopeKind.PRODUCTS, listings=(listing_id(1),))},
            {"scope": Scope(kind=ScopeKind.SELLERS, sellers=(a_listing().seller_id,))},
        ],
    )
    def test_that_just_holds_is_worth_something(self, fields: dict[str, Any]) -> None:
        assert placed_with(coupon(code="TEN", **fields)).discount == Money(100)

    def test_that_is_beaten_by_a_better_offer_is_not_used(self) -> None:
        other = offer(2, percentage=Decimal(20))
        order = placed_with(coupon(code="TEN"), offers=Offers({other.promotion_id: other}))
        assert (order.discount, order.coupon_code) == (Money(200), "")
        assert redeemed(order) == {}

    def test_that_stacks_comes_after_what_applies_by_itself(self) -> None:
        other = offer(2, percentage=Decimal(50), stackable=True)
        order = placed_with(coupon(code="TEN", stackable=True), offers=Offers({other.promotion_id: other}))
        assert [(applied.number, applied.discount) for applied in order.promotions] == [
            (2, Money(500)),
            (1, Money(50)),
        ]

    def test_for_free_shipping_that_is_free_already_is_kept_for_another_time(self) -> None:
        held = coupon(code="SHIP", discount_type=DiscountType.FREE_SHIPPING)
        quoted = quote(
            [line_of(a_listing(price=Money(20_000)), 1, None)],
            deals(coupon=held),
        )
        assert (quoted.fault, quoted.totals.promotions) == (None, ())


class TestInTheCart:
    def test_there_is_one_at_a_time(self) -> None:
        cart_id = cart_of(BUYER.account_id)
        cart = CARTS.fold(None, [CartOpened(cart_id=cart_id, account_id=BUYER.account_id)])
        assert isinstance(cart, Cart)
        assert cart.remove_coupon() == []
        applied = CouponApplied(cart_id=cart_id, promotion_id=ID, code="TEN")
        assert cart.apply_coupon(ID, "TEN") == [applied]
        cart = Cart.evolve(cart, applied)
        assert cart.coupon == HeldCoupon(promotion_id=ID, code="TEN")
        assert cart.apply_coupon(ID, "TEN") == []
        assert cart.apply_coupon(ID, "NEW") == [CouponApplied(cart_id=cart_id, promotion_id=ID, code="NEW")]
        assert cart.remove_coupon() == [CouponRemoved(cart_id=cart_id)]
        assert Cart.evolve(cart, CouponRemoved(cart_id=cart_id)).coupon is None


def test_every_fault_has_its_words() -> None:
    for fault in CouponFault:
        assert CouponInvalidError("X", fault).message
