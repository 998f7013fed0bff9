"""A cart on the wire (S2 §9.1, with the twins of C29), priced by the catalogue and the promotions of the moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domain.carts.cart import Cart
from domain.filling import LeftOut, Reason, SeenLine, orderable, seen, tree_for
from domain.kernel import ListingId
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.pricing import Totals
from domain.promotions.events import CouponFault
from domain.redeeming import Coupon, Deals, Quote, quote
from projections.promotions.promotion import applied_body
from projections.wire import time


def cart_body(
    cart: Cart,
    listings: Mapping[ListingId, Listing],
    account_number: int,
    deals: Deals,
    *,
    hidden: frozenset[ListingId] = frozenset(),
    left_out: Sequence[LeftOut] = (),
) -> dict[str, Any]:
    """Every line whose listing is known; one that cannot be had now says why, and is in no sum of money.

    Of a listing that nobody may see (``hidden`` are those that their seller makes so) only its number is told.
    ``totals`` is what an order of all that is to be had would cost now. ``left_out`` is what could not be had of what
    was brought along.
    """
    lines = seen(cart, listings, hidden, tree_for(deals))
    wanted = orderable(lines)
    quoted = quote(wanted, deals)
    return {
        "id": str(cart.id),
        "products": [_product_body(line) for line in lines],
        "items": [_item_body(line) for line in lines],
        "total": sum(line.total.minor for line in wanted) / 100,
        "discountedTotal": quoted.totals.subtotal.units(),
        "userId": account_number,
        "totalProducts": len(lines),
        "totalQuantity": sum(line.quantity for line in lines),
        "promotions": [applied_body(applied) for applied in quoted.totals.promotions],
        "coupon": None if deals.coupon is None else coupon_body(deals.coupon, quoted),
        "couponDiscount": coupon_discount(quoted.totals).units(),
        "totals": totals_body(quoted.totals),
        "notices": _notices(lines, left_out),
        "updatedAt": None if cart.touched_at is None else time(cart.touched_at),
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


def _product_body(seen_line: SeenLine) -> dict[str, Any]:
    line = seen_line.line
    if line is None:
        return _unseen_body(seen_line)
    body: dict[str, Any] = {
        "id": line.number,
        "uuid": line.listing_id,
        "title": line.title,
        "price": line.price.minor / 100,
        "quantity": line.quantity,
        "total": line.total.minor / 100,
        "discountPercentage": float(line.discount_percentage),
        "discountedTotal": line.discounted_total.minor / 100,
        "thumbnail": line.thumbnail,
        "salePrice": seen_line.sale_price.minor / 100,
        "available": seen_line.reason is None,
    }
    if seen_line.reason is not None:
        body["reason"] = seen_line.reason
        if seen_line.reason is Reason.INSUFFICIENT_STOCK:
            body["availableQuantity"] = seen_line.available
    if seen_line.shown_before is not None:
        body["priceChanged"] = _price_change(seen_line, seen_line.shown_before)
    return body


def _unseen_body(line: SeenLine) -> dict[str, Any]:
    """Of what nobody may see the fields are there, as S2 has them, and empty."""
    return {
        "id": line.number,
        "uuid": line.listing_id,
        "title": "",
        "price": 0.0,
        "quantity": line.quantity,
        "total": 0.0,
        "discountPercentage": 0.0,
        "discountedTotal": 0.0,
        "thumbnail": "",
        "salePrice": 0.0,
        "available": False,
        "reason": line.reason,
    }


def _item_body(line: SeenLine) -> dict[str, Any]:
    """A line as S0 and S4 know it: one for each product, and so called by it."""
    return {
        "itemId": line.number,
        "productId": line.number,
        "quantity": line.quantity,
        "qty": line.quantity,
        "available": line.reason is None,
        "addedAt": None if line.added_at is None else time(line.added_at),
    }


def _notices(lines: Sequence[SeenLine], left_out: Sequence[LeftOut]) -> list[dict[str, Any]]:
    """What somebody who looks at the cart should be told: of what they brought along first."""
    notices = [_left_out_body(left) for left in left_out]
    told = {left.reference for left in left_out}
    for line in lines:
        if line.reason is not None and line.number not in told:
            notices.append({"type": "unavailable", "productId": line.number, "reason": line.reason})
        if line.shown_before is not None:
            change = _price_change(line, line.shown_before)
            notices.append({"type": "price_changed", "productId": line.number, **change})
    return notices


def _left_out_body(left: LeftOut) -> dict[str, Any]:
    return {
        "type": "reduced" if left.quantity else "unavailable",
        "productId": left.reference,
        "reason": left.reason,
        "quantity": left.quantity,
        "requested": left.requested,
    }


def _price_change(line: SeenLine, before: Money) -> dict[str, float]:
    return {"from": before.units(), "to": line.sale_price.units()}


def coupon_body(coupon: Coupon, quoted: Quote) -> dict[str, Any]:
    """``reason`` says why it takes nothing off, where it does not. Of one that is not valid nothing else is told."""
    known = coupon.promotion is not None and quoted.fault is not CouponFault.NOT_VALID
    return {
        "code": coupon.held.code,
        "name": coupon.promotion.terms.name if known and coupon.promotion else "",
        "applied": any(applied.code == coupon.held.code for applied in quoted.totals.promotions),
        "reason": quoted.fault,
    }
