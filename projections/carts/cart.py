"""A cart on the wire (S2 §9.1, with the twins of C29), priced by the catalogue and the promotions of the moment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add
from typing import Any

from domain.carts.cart import Cart
from domain.kernel import ListingId
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.pricing import Totals
from domain.placing import line_of
from domain.promotions.events import CouponFault
from domain.redeeming import Coupon, Deals, Quote, quote
from projections.promotions.promotion import applied_body


def cart_body(
    cart: Cart, listings: Mapping[ListingId, Listing], account_number: int, deals: Deals
) -> dict[str, Any]:
    """Lines whose listing the reader does not know yet, or may not read any more, are left out of products and sums.

    ``totals`` is what an order of these lines would cost now.
    """
    lines = [
        line_of(listings[listing_id], quantity, deals.tree)
        for listing_id, quantity in cart.lines.items()
        if listing_id in listings and listings[listing_id].readable
    ]
    nothing = Money(0)
    quoted = quote(lines, deals)
    return {
        "id": str(cart.id),
        "products": [
            {
                "id": line.number,
                "uuid": str(line.listing_id),
                "title": line.title,
                "price": line.price.units(),
                "quantity": line.quantity,
                "total": line.total.units(),
                "discountPercentage": float(line.discount_percentage),
                "discountedTotal": line.discounted_total.units(),
                "thumbnail": line.thumbnail,
            }
            for line in lines
        ],
        "items": [
            {"itemId": line.number, "productId": line.number, "quantity": line.quantity} for line in lines
        ],
        "total": reduce(add, (line.total for line in lines), nothing).units(),
        "discountedTotal": quoted.totals.subtotal.units(),
        "userId": account_number,
        "totalProducts": len(lines),
        "totalQuantity": sum(line.quantity for line in lines),
        "promotions": [applied_body(applied) for applied in quoted.totals.promotions],
        "coupon": None if deals.coupon is None else coupon_body(deals.coupon, quoted),
        "couponDiscount": coupon_discount(quoted.totals).units(),
        "totals": totals_body(quoted.totals),
    }


def totals_body(totals: Totals) -> dict[str, Any]:
    return {
        "subtotal": totals.subtotal.units(),
        "discount": totals.discount.units(),
        "tax": totals.tax.units(),
        "shipping": totals.shipping.units(),
        "total": totals.total.units(),
    }


def coupon_discount(totals: Totals) -> Money:
    return next((applied.discount for applied in totals.promotions if applied.code), Money(0))


def coupon_body(coupon: Coupon, quoted: Quote) -> dict[str, Any]:
    """``reason`` says why it takes nothing off, where it does not. Of one that is not valid nothing else is told."""
    known = coupon.promotion is not None and quoted.fault is not CouponFault.NOT_VALID
    return {
        "code": coupon.held.code,
        "name": coupon.promotion.terms.name if known and coupon.promotion else "",
        "applied": any(applied.code == coupon.held.code for applied in quoted.totals.promotions),
        "reason": quoted.fault,
    }
