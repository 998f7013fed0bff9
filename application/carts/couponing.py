"""Putting a coupon into the cart, and taking it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.carts.filling import PricedCart, listings_in
from application.errors import ConcurrentChangeError
from application.ports import Changed, Clock, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from application.promotions.dealing import deal_refs, dealt
from application.promotions.naming import coupon_called
from domain.carts.cart import CARTS, Cart, CartEmptyError
from domain.carts.events import CartEvent, cart_of
from domain.kernel import AccountId
from domain.orders.pricing import Tariff
from domain.placing import line_of
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
    """Refused unless it takes something off this cart now, or would if it were worth anything."""
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    cart_ref = StreamRef(CARTS, cart_of(command.account_id))
    before: Cart | None = (await store.load(CARTS, cart_ref.id)).state
    if before is None or not before.lines:
        raise CartEmptyError("The cart is empty")
    held = await coupon_called(command.code, store, keys)
    listings = await listings_in(before, store)
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[PricedCart]:
        cart: Cart = loaded[0].present
        if not set(cart.lines) <= set(before.lines):
            raise ConcurrentChangeError("The cart has changed meanwhile")
        found = dealt(held, loaded[1:])
        lines = [
            line_of(listings[listing_id], quantity, found.tree)
            for listing_id, quantity in cart.lines.items()
            if listing_id in listings
        ]
        quote(lines, found.at(now, tariff)).require_coupon(found.coupon)
        events = cart.apply_coupon(held.promotion_id, held.code)
        after = CARTS.fold(cart, events)
        assert after is not None
        priced = PricedCart(cart=after, listings=listings, dealt=found)
        return Proposal(outcome=priced, events=[(cart_ref, events)])

    return await store.change_together([cart_ref, *deal_refs(held, command.account_id)], decide, metadata)


async def remove_coupon(
    command: RemoveCoupon, metadata: Metadata, *, store: EventStore
) -> Changed[PricedCart]:
    cart_ref = StreamRef(CARTS, cart_of(command.account_id))
    before: Cart | None = (await store.load(CARTS, cart_ref.id)).state
    listings = await listings_in(before, store) if before is not None else {}

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[PricedCart]:
        cart: Cart | None = loaded[0].state
        events: list[CartEvent] = [] if cart is None else cart.remove_coupon()
        after = CARTS.fold(cart, events)
        if after is None or not events:
            raise CouponNotAppliedError("There is no coupon in the cart")
        priced = PricedCart(cart=after, listings=listings, dealt=dealt(None, loaded[1:]))
        return Proposal(outcome=priced, events=[(cart_ref, events)])

    return await store.change_together([cart_ref, *deal_refs(None, command.account_id)], decide, metadata)
