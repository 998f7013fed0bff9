"""An order on the wire (S2 §6.2.1, with the twins of C31), as its buyer, an admin and each of its sellers see it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from functools import reduce
from operator import add
from typing import Any

import msgspec

from domain.accounts.events import Caller
from domain.kernel import ListingId, SellerId
from domain.money import Money
from domain.orders.events import CancelCause, NoteVisibility, OrderLine, PostalAddress, ReturnStatus
from domain.orders.order import Note, Order
from domain.orders.parcels import Parcel, TrackingEvent
from domain.orders.returns import Return
from domain.sellers.events import seller_of
from projections.promotions.promotion import applied_body
from projections.wire import time


class OrderDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``version`` is that of the order's stream."""

    order: Order
    updated_at: datetime
    version: int = 0


def order_body(order: Order, updated_at: datetime) -> dict[str, Any]:
    """All of it, but for what only admins read."""
    tracking = tracking_body(order)
    body: dict[str, Any] = {
        **_names(order),
        "userId": order.account_number,
        "products": [_line_body(line) for line in order.lines],
        "items": [_item_body(line) for line in order.lines],
        "subtotal": order.subtotal.units(),
        "discount": order.discount.units(),
        "couponCode": order.coupon_code or None,
        "promotions": [applied_body(applied) for applied in order.promotions],
        "tax": order.tax.units(),
        "taxes": [
            {
                "name": tax.name,
                "rate": float(tax.rate),
                "base": tax.base.units(),
                "amount": tax.amount.units(),
            }
            for tax in order.taxes
        ],
        "shipping": order.shipping.units(),
        "shippingMethod": order.shipping_method,
        "total": order.total.units(),
        "totalAmount": order.total.units(),
        "currency": order.total.currency,
        "status": order.status,
        "orderStatus": order.status,
        "paymentStatus": order.payment_status,
        "paymentMethod": order.payment_method,
        "paymentIntentId": order.intent_id or None,
        "payment": _payment_body(order),
        "returnStatus": order.return_status,
        "returns": [_return_body(order, each) for each in order.returns],
        "invoiceNumber": order.invoice_number or None,
        "shippingAddress": _address_body(order.shipping_address),
        "trackingNumber": tracking["trackingNumber"],
        "carrier": tracking["carrier"],
        "trackingUrl": tracking["trackingUrl"],
        "estimatedDelivery": tracking["estimatedDelivery"],
        "trackingStatus": tracking["status"],
        "tracking": tracking,
        "parcels": [parcel_body(order, parcel) for parcel in order.parcels],
        "notes": [note_body(order, note) for note in order.notes if _for_everybody(note)],
        "createdAt": time(order.placed_at),
        "updatedAt": time(updated_at),
    }
    if order.billing_address is not None:
        body["billingAddress"] = _address_body(order.billing_address)
    if order.refunded.minor:
        body["refundedAmount"] = order.refunded.units()
    at = {
        "startedAt": order.started_at,
        "confirmedAt": order.confirmed_at,
        "shippedAt": shipped_at(order),
        "deliveredAt": delivered_at(order),
    }
    return body | {name: time(when) for name, when in at.items() if when is not None} | _cancellation(order)


def kept_body(order: Order, updated_at: datetime) -> dict[str, Any]:
    """The same as admins see it: with their own notes, and what the buyer's bank says."""
    return {
        **order_body(order, updated_at),
        "notes": [note_body(order, note) for note in order.notes],
        "disputes": [
            {
                "id": dispute_id,
                "amount": dispute.amount.units(),
                "reason": dispute.reason,
                "status": dispute.status,
            }
            for dispute_id, dispute in order.disputes.items()
        ],
    }


def seen_body(order: Order, updated_at: datetime, caller: Caller) -> dict[str, Any]:
    """As much of it as is this caller's to see (S2 §6.2.3); ``ForbiddenError`` where that is nothing."""
    if caller.is_admin:
        return kept_body(order, updated_at)
    if order.sold_by(caller) and not order.owned_by(caller):
        return sold_body(order, updated_at, seller_of(caller.account_id), caller.number)
    order.require_visible_to(caller)
    return order_body(order, updated_at)


def sold_body(order: Order, updated_at: datetime, seller_id: SellerId, reader: int) -> dict[str, Any]:
    """What one seller has to do with it: their own lines, where to send them, and how far that is.

    What others sold with it, what it comes to in all, and how it is paid, is none of theirs; nor is it where the buyer
    lives, unless there is something to be sent there, or was. ``reader`` is the number
    of the seller's account, by which their own notes are known from those of others.
    """
    lines = [line for line in order.lines if line.seller_id == seller_id]
    numbers = order.parcels_from(seller_id)
    parcel = order.parcel(numbers[0])
    told = parcel_body(order, parcel)
    nothing = Money(0, order.total.currency)
    sold = reduce(add, (line.discounted_total - line.promotion_discount for line in lines), nothing)
    theirs = frozenset(line.listing_id for line in lines)
    returns = [each for each in order.returns if not theirs.isdisjoint(each.lines)]
    goes_there = order.committed and not order.cancelled
    return {
        **_names(order),
        "userId": order.account_number,
        "products": [_line_body(line) for line in lines],
        "items": [_item_body(line) for line in lines],
        "subtotal": sold.units(),
        "shipping": parcel.shipping.units(),
        "shippingMethod": order.shipping_method,
        "currency": order.total.currency,
        "status": told["status"],
        "orderStatus": told["status"],
        "returnStatus": returns[-1].status if returns else ReturnStatus.NONE,
        "returns": [_return_body(order, each, of=theirs) for each in returns],
        "shippingAddress": _address_body(order.shipping_address if goes_there else PostalAddress()),
        **{name: told[name] for name in _OF_SHIPMENT},
        "trackingStatus": told["trackingStatus"],
        "tracking": tracking_body(order, numbers),
        "parcels": [told],
        "notes": [
            note_body(order, note)
            for note in order.notes
            if _for_everybody(note) and (_author(order, note) != "seller" or note.author == reader)
        ],
        "createdAt": time(order.placed_at),
        "updatedAt": time(updated_at),
        **({"cancelledAt": time(order.cancelled_at)} if order.cancelled_at is not None else {}),
    }


def tracking_body(order: Order, numbers: Collection[int] = ()) -> dict[str, Any]:
    """S2 §6.2.6, of these parcels or else of all of them.

    What is told at its head is of one of them: one that is on its way, or else one that is to be sent yet.
    """
    parcels = [parcel for parcel in order.parcels if not numbers or parcel.number in numbers]
    told = min(parcels, key=_head_of)
    return {
        "orderId": order.number,
        "status": told.tracking_status,
        **_shipment_body(told),
        "events": _events(told),
        "parcels": [parcel_body(order, parcel) for parcel in parcels],
    }


def parcel_body(order: Order, parcel: Parcel) -> dict[str, Any]:
    return {
        "number": parcel.number,
        "sellerId": str(parcel.seller_id),
        "status": order.parcel_status(parcel),
        "items": [
            {"productId": line.number, "quantity": line.quantity}
            for line in order.lines
            if line.seller_id == parcel.seller_id
        ],
        "shipping": parcel.shipping.units(),
        **_shipment_body(parcel),
        "trackingStatus": parcel.tracking_status,
        "shippedAt": _optional_time(parcel.shipped_at),
        "deliveredAt": _optional_time(parcel.delivered_at),
        "events": _events(parcel),
    }


def note_body(order: Order, note: Note) -> dict[str, Any]:
    return {
        "id": str(note.id),
        "orderId": order.number,
        "note": note.note,
        "authorId": note.author,
        "author": _author(order, note),
        "visibility": note.visibility,
        "createdAt": time(note.created_at),
    }


def changed_at(order: Order) -> datetime:
    """When something happened to it last, as far as it says so itself."""
    of_order = (order.started_at, order.confirmed_at, order.cancelled_at, order.invoiced_at)
    of_parcels = (at for parcel in order.parcels for at in (parcel.shipped_at, parcel.delivered_at))
    of_notes = (note.created_at for note in order.notes)
    of_returns = (
        at for each in order.returns for at in (each.requested_at, each.resolved_at, each.received_at)
    )
    happened = (*of_order, *of_parcels, *of_notes, *of_returns)
    return max((at for at in happened if at is not None), default=order.placed_at)


def shipped_at(order: Order) -> datetime | None:
    """When the last of its parcels left, as far as anybody said so; nothing before that."""
    if not all(parcel.sent for parcel in order.parcels):
        return None
    return max((parcel.shipped_at for parcel in order.parcels if parcel.shipped_at is not None), default=None)


def delivered_at(order: Order) -> datetime | None:
    """When the last of its parcels arrived; nothing before that."""
    arrivals = [parcel.delivered_at for parcel in order.parcels if parcel.delivered_at is not None]
    return max(arrivals) if arrivals and len(arrivals) == len(order.parcels) else None


_OF_SHIPMENT = ("trackingNumber", "carrier", "trackingUrl", "estimatedDelivery", "shippedAt", "deliveredAt")


def _names(order: Order) -> dict[str, Any]:
    return {"id": order.number, "number": order.number, "orderId": order.number, "uuid": str(order.id)}


def _payment_body(order: Order) -> dict[str, Any]:
    """The same three in an object of their own, where S0 and S1 look for them."""
    return {
        "status": order.payment_status,
        "method": order.payment_method,
        "intentId": order.intent_id or None,
    }


def _cancellation(order: Order) -> dict[str, Any]:
    if order.cancelled_at is None or order.cancel_cause is None:
        return {}
    timed_out = order.cancel_cause is CancelCause.PAYMENT_TIMEOUT
    return {
        "cancelledAt": time(order.cancelled_at),
        "cancelledBy": order.cancel_cause,
        "cancelReason": order.cancel_cause if timed_out else order.cancel_reason,
    }


def _head_of(parcel: Parcel) -> int:
    if parcel.delivered:
        return 2
    return 0 if parcel.sent else 1


def _shipment_body(parcel: Parcel) -> dict[str, Any]:
    shipment = parcel.shipment
    estimated = shipment.estimated_delivery
    return {
        "carrier": shipment.carrier or None,
        "trackingNumber": shipment.tracking_number or None,
        "trackingUrl": shipment.tracking_url or None,
        "estimatedDelivery": None if estimated is None else estimated.isoformat(),
    }


def _events(parcel: Parcel) -> list[dict[str, Any]]:
    """In the order in which it happened, whenever it was told."""
    told: Sequence[TrackingEvent] = sorted(parcel.tracking, key=lambda event: event.occurred_at)
    return [
        {
            "status": event.status,
            "location": event.location,
            "timestamp": time(event.occurred_at),
            "description": event.description,
        }
        for event in told
    ]


def _return_body(
    order: Order, returned: Return, *, of: Collection[ListingId] | None = None
) -> dict[str, Any]:
    """``of`` names the only lines of it that are told; what all of them are worth is told with all of them."""
    shown: Iterable[ListingId] = (
        returned.lines if of is None else [each for each in returned.lines if each in of]
    )
    numbers = {line.listing_id: line.number for line in order.lines}
    whole = of is None or all(each in of for each in returned.lines)
    return {
        "id": str(returned.id),
        "status": returned.status,
        "reason": returned.reason,
        "items": [{"productId": numbers[each], "quantity": returned.lines[each]} for each in shown],
        "refundAmount": returned.refund.units() if returned.arrived and whole else None,
        "restocked": returned.restocked,
        "requestedAt": time(returned.requested_at),
        "resolvedAt": _optional_time(returned.resolved_at),
        "receivedAt": _optional_time(returned.received_at),
        "rejectionReason": returned.rejection or None,
    }


def _author(order: Order, note: Note) -> str:
    if note.by_admin:
        return "admin"
    return "buyer" if note.author == order.account_number else "seller"


def _for_everybody(note: Note) -> bool:
    return note.visibility is NoteVisibility.EVERYBODY


def _optional_time(at: datetime | None) -> str | None:
    return None if at is None else time(at)


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


def _item_body(line: OrderLine) -> dict[str, Any]:
    return {
        "productId": line.number,
        "quantity": line.quantity,
        "qty": line.quantity,
        "priceAtPurchase": line.price.units(),
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
