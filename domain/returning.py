"""What comes back: one decision over the order, its payment and the stock of what was returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from domain.kernel import ListingId
from domain.listings.events import ListingEvent
from domain.listings.listing import Listing
from domain.money import Money
from domain.orders.events import OrderEvent
from domain.orders.order import Order
from domain.payments.events import PaymentEvent, RefundRequested
from domain.payments.payment import Payment, RefundTooLargeError

FOR_RETURN = "order_returned"


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, all of it or nothing; nothing at all where the goods are here already."""

    order: Sequence[OrderEvent] = ()
    payment: Sequence[PaymentEvent] = ()
    stock: Mapping[ListingId, Sequence[ListingEvent]] = msgspec.field(default_factory=dict)


def receive_return(
    order: Order,
    payment: Payment | None,
    listings: Mapping[ListingId, Listing],
    return_id: UUID,
    *,
    at: datetime,
    restock: bool = True,
    amount: Money | None = None,
) -> Receipt:
    """The goods are here: what they were sold for is asked back, or ``amount``, and they are on sale again.

    Never more goes back than is left of the payment, so that nothing does of an order that nobody has paid. What is not
    fit to be sold again is received without ``restock``.

    A coupon stays used: the order was sent and stands, and whoever could get theirs back by returning one thing would
    have it for ever. (That of a cancelled order can be used again.)
    """
    returned = order.a_return(return_id)
    if returned.arrived:
        return Receipt()
    left = payment.refundable if payment is not None else Money(0, order.total.currency)
    if amount is not None and amount > left:
        raise RefundTooLargeError(
            "This is more than is left of the payment", details={"refundable": left.units()}
        )
    refund = min(order.worth_of_return(return_id), left) if amount is None else amount
    asked: list[PaymentEvent] = []
    if payment is not None and refund.minor:
        asked = payment.request_refund(refund, FOR_RETURN, at=at)
    refund_id = next((event.refund_id for event in asked if isinstance(event, RefundRequested)), "")
    return Receipt(
        order=order.receive_return(return_id, refund, refund_id, at, restocked=restock),
        payment=asked,
        stock={
            listing_id: listings[listing_id].restore_stock(order.id, quantity)
            for listing_id, quantity in returned.lines.items()
            if restock
        },
    )
