"""Emptying carts that nobody has come back to."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from application.ports import Changed, Clock, EventStore, Metadata
from domain.carts.cart import CARTS, Cart
from domain.carts.events import CartEvent
from domain.kernel import CartId


class AbandonCart(msgspec.Struct, frozen=True, kw_only=True):
    """By whoever looks at the clock."""

    cart_id: CartId


async def abandon_cart(
    command: AbandonCart, metadata: Metadata, *, store: EventStore, clock: Clock, patience: timedelta
) -> Changed[Cart]:
    """Whoever asks may be behind: whether nobody has touched it for long is the cart's to say."""

    def decide(cart: Cart | None) -> list[CartEvent]:
        return [] if cart is None else cart.abandon(clock.now(), patience)

    return await store.change(CARTS, command.cart_id, decide, metadata)
