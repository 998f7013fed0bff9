"""What becomes of money that is to go back: one decision over a payment and its order, if it has one.

An order knows a refund by the name of its first try, and hears of money that has come by its own payment alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from domain.orders.events import OrderEvent
from domain.orders.order import Order
from domain.payments.events import PaymentEvent
from domain.payments.payment import Payment, RefundState

OfBoth: TypeAlias = tuple[Sequence[PaymentEvent], Sequence[OrderEvent]]
"""What is recorded of the payment, and of the order: all of it or nothing."""


def refund_sent(payment: Payment, order: Order | None, refund_id: str, provider_id: str) -> OfBoth:
    """The provider has sent it."""
    events = payment.settle_refund(refund_id, provider_id)
    if not events or order is None:
        return events, ()
    amount = payment.refunds[refund_id].amount
    return events, order.refund(payment.intent_id, payment.first_try(refund_id), amount)


def refund_failed(payment: Payment, order: Order | None, refund_id: str, code: str, message: str) -> OfBoth:
    """It did not arrive. The order hears of that only where it was told that it had been sent."""
    refund = payment.refunds[refund_id]
    events = payment.fail_refund(refund_id, code, message)
    if not events or order is None or refund.status is not RefundState.SUCCEEDED:
        return events, ()
    return events, order.fail_refund(payment.intent_id, payment.first_try(refund_id), refund.amount)
