"""Cancelling an order: one decision over the order, its payment, the stock of every line, and its coupons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from domain.kernel import ListingId, RedemptionsId
from domain.listings.events import ListingEvent
from domain.listings.listing import Listing
from domain.orders.events import CancelCause, OrderEvent
from domain.orders.order import Order
from domain.payments.events import PaymentEvent
from domain.payments.payment import Payment, PaymentState
from domain.promotions.events import RedemptionEvent
from domain.redeeming import given_back

FOR_CANCELLATION = "order_cancelled"


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, all of it or nothing; nothing at all where the order is cancelled already."""

    order: Sequence[OrderEvent] = ()
    payment: Sequence[PaymentEvent] = ()
    stock: Mapping[ListingId, Sequence[ListingEvent]] = msgspec.field(default_factory=dict)
    redemptions: Mapping[RedemptionsId, Sequence[RedemptionEvent]] = msgspec.field(default_factory=dict)


def cancel_order(
    order: Order,
    payment: Payment | None,
    listings: Mapping[ListingId, Listing],
    *,
    cause: CancelCause,
    at: datetime,
    reason: str = "",
    closed: bool = False,
) -> Cancellation:
    """Everything that the order took is given back: what is paid is asked back from the provider.

    ``closed`` says that the provider will not take the payment any more. Otherwise one that is not made yet has to be
    closed there afterwards; and should it be made before that, it is asked back then.
    """
    made = payment is not None and payment.status is PaymentState.SUCCEEDED
    open_intent = "" if payment is None or made or closed or payment.cancelled else payment.intent_id
    cancelled = order.cancel(cause, at, reason=reason, open_intent=open_intent)
    if not cancelled:
        return Cancellation()
    settled: list[PaymentEvent] = []
    if payment is not None:
        if made and payment.refundable.minor:
            settled = payment.request_refund(payment.refundable, FOR_CANCELLATION, at=at)
        elif closed:
            settled = payment.cancel()
    return Cancellation(
        order=cancelled,
        payment=settled,
        stock={
            line.listing_id: (
                listings[line.listing_id].restore_stock(order.id, line.quantity)
                if order.committed
                else listings[line.listing_id].release(order.id, line.quantity)
            )
            for line in order.lines
        },
        redemptions=given_back(order),
    )
