"""An order on the wire (S2 §6.2.1, with the twins of C31)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from domain.orders.events import CancelCause, OrderLine, PostalAddress
from domain.orders.order import Order
from projections.promotions.promotion import applied_body
from projections.wire import time


class OrderDocument(msgspec.Struct, frozen=True, kw_only=True):
    order: Order
    updated_at: datetime


def order_body(order: Order, updated_at: datetime) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": order.number,
        "number": order.number,
        "orderId": order.number,
        "uuid": str(order.id),
        "userId": order.account_number,
        "products": [_line_body(line) for line in order.lines],
        "items": [
            {"productId": line.number, "quantity": line.quantity, "priceAtPurchase": line.price.units()}
            for line in order.lines
        ],
        "subtotal": order.subtotal.units(),
        "discount": order.discount.units(),
        "couponCode": order.coupon_code or None,
        "promotions": [applied_body(applied) for applied in order.promotions],
        "tax": order.tax.units(),
        "shipping": order.shipping.units(),
        "total": order.total.units(),
        "totalAmount": order.total.units(),
        "currency": order.total.currency,
        "status": order.status,
        "orderStatus": order.status,
        "paymentStatus": order.payment_status,
        "paymentMethod": order.payment_method,
        "paymentIntentId": order.intent_id or None,
        "shippingAddress": _address_body(order.shipping_address),
        "createdAt": time(order.placed_at),
        "updatedAt": time(updated_at),
    }
    if order.billing_address is not None:
        body["billingAddress"] = _address_body(order.billing_address)
    if order.confirmed_at is not None:
        body["confirmedAt"] = time(order.confirmed_at)
    if order.refunded.minor:
        body["refundedAmount"] = order.refunded.units()
    if order.cancelled_at is not None and order.cancel_cause is not None:
        timed_out = order.cancel_cause is CancelCause.PAYMENT_TIMEOUT
        body |= {
            "cancelledAt": time(order.cancelled_at),
            "cancelledBy": order.cancel_cause,
            "cancelReason": order.cancel_cause if timed_out else order.cancel_reason,
        }
    return body


def _line_body(line: OrderLine) -> dict[str, Any]:
    return {
        "id": line.number,
        "uuid": str(line.listing_id),
        "title": line.title,
        "price": line.price.units(),
        "quantity": line.quantity,
        "total": line.total.units(),
        "discountPercentage": float(line.discount_percentage),
        "discountedTotal": line.discounted_total.units(),
        "promotionDiscount": line.promotion_discount.units(),
        "thumbnail": line.thumbnail,
        "sellerId": str(line.seller_id),
    }


def _address_body(address: PostalAddress) -> dict[str, str]:
    return {
        "firstName": address.first_name,
        "lastName": address.last_name,
        "address": address.address,
        "city": address.city,
        "state": address.state,
        "zipCode": address.zip_code,
        "country": address.country,
        "phone": address.phone,
    }
