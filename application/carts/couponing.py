"""Putting a coupon into the cart, and taking it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.carts.filling import Decided, PricedCart, filled, shelf_of
from application.errors import ConcurrentChangeError
from application.ports import Changed, Clock, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from application.promotions.dealing import deal_refs, dealt
from application.promotions.naming import coupon_called
from domain.carts.cart import CARTS, Cart, CartEmptyError
from domain.carts.events import cart_of
from domain.filling import Shelf, orderable, seen
from domain.kernel import AccountId
from domain.orders.pricing import Tariff
from domain.orders.shipping import Sending
from domain.placing import profiles_of
from domain.promotions.promotion import CouponNotAppliedError
from domain.redeeming import quote


class ApplyCoupon(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    code: str


class RemoveCoupon(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId


async def apply_coupon(
    command: ApplyCoupon, metadata: Metadata, *, store: EventStore, keys: Keys, clock: Clock, tariff: Tariff
) -> Changed[PricedCart]:
    """Refused unless it takes something off what can be had of this cart, or would if it were worth anything."""
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    cart_ref = StreamRef(CARTS, cart_of(command.account_id))
    before: Cart | None = (await store.load(CARTS, cart_ref.id)).state
    if before is None or not before.lines:
        raise CartEmptyError("The cart is empty")
    held = await coupon_called(command.code, store, keys)
    shelf = await shelf_of(before.lines, store)
    sending = Sending(profiles=profiles_of(shelf.sellers.values()))
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[PricedCart]:
        cart: Cart = loaded[0].present
        if not set(cart.lines) <= set(before.lines):
            raise ConcurrentChangeError("The cart has changed meanwhile")
        found = dealt(held, loaded[1:])
        lines = orderable(seen(cart, shelf.listings, shelf.hidden, found.tree))
        quote(lines, found.at(now, tariff, sending)).require_coupon(found.coupon)
        events = cart.apply_coupon(held.promotion_id, held.code, now)
        after = CARTS.after(cart, events)
        priced = PricedCart(cart=after, shelf=shelf, dealt=found)
        return Proposal(outcome=priced, events=[(cart_ref, events)])

    return await store.change_together([cart_ref, *deal_refs(held, command.account_id)], decide, metadata)


async def remove_coupon(
    command: RemoveCoupon, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    now = clock.now()

    def decide(cart: Cart, _: Shelf) -> Decided:
        events = cart.remove_coupon(now)
        if not events:
            raise CouponNotAppliedError("There is no coupon in the cart")
        return Decided(events=events)

    return await filled(command.account_id, (), decide, metadata, store)
