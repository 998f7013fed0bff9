"""An order that nobody has prepared a payment for gets one: whoever took the order may have died on the way."""

from __future__ import annotations

from application.payments.paying import RequestPayment
from domain.orders.events import OrderPlaced


def request_payment_for(event: OrderPlaced) -> list[RequestPayment]:
    """The same intent as the API asks for, so it does not matter who comes first, or that both do."""
    if not event.total.minor:
        return []
    return [RequestPayment(order_id=event.order_id)]
