"""Redeeming a coupon: what a cart's coupon is worth, decided over the promotion, its counts and the lines."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from domain.carts.cart import HeldCoupon
from domain.categories.tree import CategoryTree
from domain.kernel import PromotionId, RedemptionsId
from domain.money import Money
from domain.orders.events import OrderLine
from domain.orders.order import Order
from domain.orders.pricing import Tariff, Totals, coupon_fault, totals_of
from domain.orders.shipping import ANYWHERE, Sending, ShippingMethod, days_of
from domain.promotions.events import CouponFault, Offer, RedemptionEvent, redemptions_of
from domain.promotions.offers import Offers
from domain.promotions.promotion import CouponInvalidError, Promotion
from domain.promotions.redemptions import Redemptions


class Coupon(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon as its promotion is now, how often it was used in all, and how often by whoever holds it."""

    held: HeldCoupon
    promotion: Promotion | None
    used: int = 0
    used_by_customer: int = 0

    def fault(self, at: datetime) -> CouponFault | None:
        """Why nobody could use it now, or not this customer, whatever is bought."""
        if self.promotion is None or not self.promotion.redeemable(self.held.code, at):
            return CouponFault.NOT_VALID
        terms = self.promotion.terms
        if terms.usage_limit is not None and self.used >= terms.usage_limit:
            return CouponFault.USAGE_LIMIT_REACHED
        if terms.per_customer_limit is not None and self.used_by_customer >= terms.per_customer_limit:
            return CouponFault.CUSTOMER_LIMIT_REACHED
        return None


class Deals(msgspec.Struct, frozen=True, kw_only=True):
    """What an order's price depends on besides the listings and how many of each; ``tree`` says where those are.

    ``sending`` is where it goes and how, as far as that is known.
    """

    offers: Offers | None
    coupon: Coupon | None
    tree: CategoryTree | None
    tariff: Tariff
    at: datetime
    sending: Sending = ANYWHERE


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """``fault`` is why the coupon, where there is one, takes nothing off."""

    totals: Totals
    fault: CouponFault | None = None

    def require_coupon(self, coupon: Coupon | None) -> None:
        if coupon is not None and self.fault is not None:
            raise CouponInvalidError(coupon.held.code, self.fault)


def quote(lines: Sequence[OrderLine], deals: Deals) -> Quote:
    """What these lines cost now, wherever it is asked: in the cart, at the checkout and by the order."""
    running = deals.offers.running(deals.at) if deals.offers is not None else ()
    coupon = deals.coupon
    fault = None if coupon is None else coupon.fault(deals.at)
    offer = None if coupon is None or fault is not None else _offer(coupon)
    totals = totals_of(lines, deals.tariff, offers=running, coupon=offer, sending=deals.sending)
    return Quote(totals=totals, fault=fault if offer is None else coupon_fault(lines, offer, totals))


class OfferedMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to send an order: all that shipping costs then, and in how many days everything has arrived."""

    method: ShippingMethod
    shipping: Money
    days: int


def offered_methods(lines: Sequence[OrderLine], deals: Deals) -> list[OfferedMethod]:
    """All that there are, each as it would cost in the order."""
    ways = [replace(deals, sending=replace(deals.sending, method=method)) for method in ShippingMethod]
    return [
        OfferedMethod(
            method=way.sending.method,
            shipping=quote(lines, way).totals.shipping,
            days=days_of(lines, way.sending),
        )
        for way in ways
    ]


def redeemed(order: Order) -> dict[RedemptionsId, list[RedemptionEvent]]:
    """The counts that go up with the order: of each coupon in all, and of each for this customer."""
    return {
        count: Redemptions.redeem(promotion_id, order.id, order.account_id)
        for promotion_id, counts in _counts_of(order)
        for count in counts
    }


def given_back(order: Order) -> dict[RedemptionsId, list[RedemptionEvent]]:
    """The same counts down again, for whoever cancels the order: to be appended with its cancellation."""
    return {
        count: Redemptions.release(promotion_id, order.id, order.account_id)
        for promotion_id, counts in _counts_of(order)
        for count in counts
    }


def _counts_of(order: Order) -> list[tuple[PromotionId, tuple[RedemptionsId, RedemptionsId]]]:
    return [
        (
            applied.promotion_id,
            (redemptions_of(applied.promotion_id), redemptions_of(applied.promotion_id, order.account_id)),
        )
        for applied in order.promotions
        if applied.code
    ]


def _offer(coupon: Coupon) -> Offer:
    assert coupon.promotion is not None, "one that is not there has a fault"
    return coupon.promotion.offer
