"""What mails about an order say, as the order is when they leave."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias
from urllib.parse import quote, urlsplit

import msgspec

from application.mail.ports import PointlessMailError
from domain.kernel import ListingId
from domain.money import Money
from domain.orders.events import (
    CancelCause,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPaymentFailed,
    OrderProcessingStarted,
    OrderRefunded,
    OrderReturnApproved,
    OrderReturnRejected,
    ParcelDelivered,
    ParcelShipped,
    PostalAddress,
    ReturnStatus,
)
from domain.orders.order import Order

OrderMailCause: TypeAlias = (
    OrderConfirmed
    | OrderProcessingStarted
    | OrderPaymentFailed
    | ParcelShipped
    | ParcelDelivered
    | OrderRefunded
    | OrderCancelled
    | OrderReturnApproved
    | OrderReturnRejected
)

_LONGEST: Final = 200
_GAP: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9:/?#@!$&'()*+,;=._~%\[\]-]{1,2000}")
_LINK_JOINT: Final = re.compile(r"(?<=\S)([.@])(?=[^\W\d_])|(?<=:)(?=//)")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    quantity: int
    title: str
    total: Money


def page_of(origin: str, order: Order) -> str:
    """Where its buyer sees it, and pays for it."""
    return f"{origin}/orders/{quote(order.number, safe='')}"


def said_of_order(event: OrderMailCause, order: Order, unpaid_after: timedelta) -> Mapping[str, Any]:
    """The fields of the event's mail. ``PointlessMailError`` if the order has gone past it."""
    match event:
        case OrderConfirmed() | OrderProcessingStarted():
            return _confirmation(event, order)
        case OrderPaymentFailed():
            return _failure(event, order, unpaid_after)
        case ParcelShipped() | ParcelDelivered():
            return _parcel(event, order)
        case OrderRefunded(amount=amount):
            return {"amount": amount}
        case OrderCancelled(cause=cause, reason=reason):
            owed = order.total - order.refunded if order.paid else Money(0, order.total.currency)
            # Buyers know their own words.
            theirs = cause is CancelCause.BUYER
            return {"cause": cause, "reason": "" if theirs else quoted(reason), "owed": owed}
        case OrderReturnApproved() | OrderReturnRejected():
            return _return(event, order)


def _confirmation(event: OrderConfirmed | OrderProcessingStarted, order: Order) -> Mapping[str, Any]:
    if order.cancelled:
        raise PointlessMailError("the order was cancelled")
    if isinstance(event, OrderConfirmed) and order.started_at is not None:
        raise PointlessMailError("it was confirmed before it was paid")
    return {"lines": lines_of(order.lines), "deliver_to": written(order.shipping_address)}


def _failure(event: OrderPaymentFailed, order: Order, unpaid_after: timedelta) -> Mapping[str, Any]:
    if order.paid or order.cancelled:
        raise PointlessMailError("there is nothing to pay any more")
    if event.intent_id in order.closed_intents:
        raise PointlessMailError("it is to be paid by another payment")
    return {"reason": quoted(event.message), "until": order.placed_at + unpaid_after}


def _parcel(event: ParcelShipped | ParcelDelivered, order: Order) -> Mapping[str, Any]:
    parcel = order.parcel(event.parcel)
    if isinstance(event, ParcelShipped) and parcel.delivered:
        raise PointlessMailError("it has arrived")
    return {
        "parcel": parcel,
        "parcels": len(order.parcels),
        "lines": lines_of(line for line in order.lines if line.seller_id == parcel.seller_id),
        "carrier": quoted(parcel.shipment.carrier),
        "tracking_number": quoted(parcel.shipment.tracking_number),
        "tracking_link": tracking_link(parcel.shipment.tracking_url),
    }


def _return(event: OrderReturnApproved | OrderReturnRejected, order: Order) -> Mapping[str, Any]:
    returned = order.a_return(event.return_id)
    approved = isinstance(event, OrderReturnApproved)
    expected = ReturnStatus.APPROVED if approved else ReturnStatus.REJECTED
    if returned.status is not expected:
        raise PointlessMailError("more has become of the return")
    reason = event.reason if isinstance(event, OrderReturnRejected) else ""
    return {"lines": lines_of(order.lines, returned.lines), "reason": quoted(reason)}


def lines_of(lines: Iterable[OrderLine], units: Mapping[ListingId, int] | None = None) -> list[Line]:
    """Those of which there are ``units``, or all as they were bought."""
    return [
        Line(
            quantity=line.quantity if units is None else units[line.listing_id],
            title=quoted(line.title),
            total=line.discounted_total,
        )
        for line in lines
        if units is None or line.listing_id in units
    ]


def written(address: PostalAddress) -> list[str]:
    """As on an envelope; nothing of whoever was erased."""
    parts = (
        f"{address.first_name} {address.last_name}",
        address.address,
        f"{address.zip_code} {address.city}",
        address.state,
        address.country,
    )
    return [said for part in parts if (said := quoted(part))]


def quoted(words: str) -> str:
    """What somebody else has typed, on one line, and so that no mail program makes a link of a part of it.

    A space that has no width stands where an address or a domain would be joined.
    """
    plain = _GAP.sub(" ", words).strip()
    if len(plain) > _LONGEST:
        plain = plain[: _LONGEST - 1] + "…"
    return _LINK_JOINT.sub(lambda joint: f"{joint[0]}\u200b", plain)


def tracking_link(address: str) -> str:
    """The address at which a parcel can be followed, as its sender says; nothing, unless it is one on the web."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.username
    return address if is_web and _ADDRESS.fullmatch(address) else ""
