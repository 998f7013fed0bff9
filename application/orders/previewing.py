"""Previews: what an order would come to if it were placed now, and in which ways it could be sent (C30).

Nothing is recorded, reserved or asked of the payment provider. It is decided as the order is, on what the log says now:
so the order that follows costs the same, or is refused where the client says what it has shown.
"""

from __future__ import annotations

from application.orders.placing import (
    CheckedOut,
    Conditions,
    PlaceOrder,
    Planned,
    There,
    Wish,
    called_coupon,
    planned_over,
)
from application.ports import Clock, EventStore, Keys
from domain.listings.listing import ProductNotFoundError
from domain.orders.events import OrderLine
from domain.orders.shipping import require_sendable
from domain.placing import line_of, require_may_buy, sells
from domain.redeeming import OfferedMethod, offered_methods


async def preview_order(
    order: PlaceOrder, *, store: EventStore, keys: Keys, clock: Clock, conditions: Conditions
) -> CheckedOut:
    """Refused as the order would be."""
    wish = await _wish(order, store, keys, clock, conditions)

    async def look(planned: Planned) -> CheckedOut:
        return CheckedOut.of(wish.settle(planned, await store.load_many(planned.refs)))

    return await planned_over(wish, store, look)


async def shipping_rates(
    order: PlaceOrder, *, store: EventStore, keys: Keys, clock: Clock, conditions: Conditions
) -> list[OfferedMethod]:
    """What sending costs, also of what is sold out by now; what is gone altogether is left out of a cart."""
    wish = await _wish(order, store, keys, clock, conditions)

    async def look(planned: Planned) -> list[OfferedMethod]:
        there = wish.there(planned, await store.load_many(planned.refs))
        destination = wish.postal(require_may_buy(there.buyer), order.shipping_address, "address")
        deals = wish.deals(there, destination)
        lines = _lines(wish, there, planned)
        require_sendable(lines, deals.tariff.shipping, deals.sending)
        return offered_methods(lines, deals)

    return await planned_over(wish, store, look)


def _lines(wish: Wish, there: There, planned: Planned) -> list[OrderLine]:
    lines = []
    for wanted in wish.wanted(there, planned):
        listing = there.listings.get(wanted.listing_id)
        if listing is not None and listing.readable and sells(there.sellers.get(listing.seller_id)):
            lines.append(line_of(listing, wanted.quantity, there.dealt.tree))
        elif wish.named:
            raise ProductNotFoundError("Product not found")
    return lines


async def _wish(
    order: PlaceOrder, store: EventStore, keys: Keys, clock: Clock, conditions: Conditions
) -> Wish:
    called = await called_coupon(order.coupon_code, None, store, keys)
    return Wish(command=order, called=called, prepared=None, at=clock.now(), conditions=conditions)
