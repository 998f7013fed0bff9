"""An order that is cancelled is not to be paid any more, and the provider has to be told."""

from __future__ import annotations

from application.payments.closing import ClosePayment
from domain.orders.events import OrderCancelled


def close_payment_of(event: OrderCancelled) -> list[ClosePayment]:
    return [ClosePayment(intent_id=event.intent_id)] if event.intent_id else []
