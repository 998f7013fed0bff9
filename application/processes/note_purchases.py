"""Whoever has paid for something is known as its buyer by those who read what they say of it."""

from __future__ import annotations

from application.reviews.verifying import NotePurchases
from domain.orders.events import OrderConfirmed


def note_purchases_of(event: OrderConfirmed) -> list[NotePurchases]:
    return [NotePurchases(order_id=event.order_id)]
