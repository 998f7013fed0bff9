"""The stock of an order's lines, which changes in the same append as the order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from application.ports import Loaded, StreamRef
from domain.kernel import Event
from domain.listings.listing import LISTINGS
from domain.orders.order import Order


def listings_of(order: Order) -> list[StreamRef[Any, Any]]:
    return [StreamRef(LISTINGS, line.listing_id) for line in order.lines]


def committed(
    order: Order, listings: Sequence[StreamRef[Any, Any]], loaded: Sequence[Loaded[Any]]
) -> list[tuple[StreamRef[Any, Any], Sequence[Event]]]:
    """What was reserved is sold; ``loaded`` are the order's ``listings``, line by line."""
    return [
        (ref, listing.present.commit(order.id, line.quantity))
        for ref, listing, line in zip(listings, loaded, order.lines, strict=True)
    ]
