"""Finding an order by any of its names."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from application.slugs import reference_kind
from domain.kernel import OrderId, stream_id
from domain.orders.order import OrderNotFoundError

T = TypeVar("T")


def order_called(reference: str) -> OrderId:
    """The stream of an order number (``ORD-2026112101``) or a uuid (C32). Nothing is looked up."""
    kind = reference_kind(reference)
    return OrderId(kind if isinstance(kind, UUID) else stream_id("order", reference.upper()))


def known_order(order: T | None) -> T:
    """An order, or what a read model has of one."""
    if order is None:
        raise OrderNotFoundError("Order not found")
    return order
