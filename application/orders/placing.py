"""Placing an order: order, stock of every line and cart, in one append."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from application.errors import ConcurrentChangeError
from application.payments.paying import linked_payment
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Loaded,
    Metadata,
    Numbers,
    PaymentProvider,
    Proposal,
    StreamRef,
)
from domain.accounts.events import Caller
from domain.carts.cart import CARTS, Cart, CartEmptyError
from domain.carts.events import cart_of
from domain.kernel import Event, ListingId, OrderId, SellerId, stream_id
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import PostalAddress
from domain.orders.order import ORDERS, Order
from domain.orders.pricing import Tariff
from domain.payments.payment import PAYMENTS
from domain.placing import WantedLine, merged, order_of
from domain.sellers.seller import SELLERS, Seller

A_DAY: Final = 86_400.0


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Without lines, the cart is bought (C31). ``intent_id`` names a payment that the client prepared itself."""

    caller: Caller
    lines: tuple[WantedLine, ...]
    shipping_address: PostalAddress
    billing_address: PostalAddress | None = None
    payment_method: str = "card"
    intent_id: str = ""


async def place_order(
    command: PlaceOrder,
    metadata: Metadata,
    *,
    store: EventStore,
    numbers: Numbers,
    clock: Clock,
    payments: PaymentProvider,
    tariff: Tariff,
) -> Changed[Order]:
    caller = command.caller
    cart_ref = StreamRef(CARTS, cart_of(caller.account_id))
    named = [line.listing_id for line in merged(command.lines)]
    intent = await payments.intent(command.intent_id) if command.intent_id else None
    now = clock.now()
    day = f"{now:%Y%m%d}"
    number = f"ORD-{day}{await numbers.next(f'orders:{day}'):02d}"
    order_id = OrderId(stream_id("order", number))

    def decide(listing_ids: Sequence[ListingId], loaded: Sequence[Loaded[Any]]) -> Proposal[Order]:
        cart: Cart | None = loaded[0].state
        after_listings = 1 + len(listing_ids)
        listings: dict[ListingId, Listing] = {
            listing.state.id: listing.state
            for listing in loaded[1:after_listings]
            if listing.state is not None
        }
        sellers: dict[SellerId, Seller] = {
            seller.state.id: seller.state for seller in loaded[after_listings:] if seller.state is not None
        }
        wanted = merged(command.lines) or _lines_of(cart, listing_ids)
        placed, reserved = order_of(
            wanted,
            listings,
            tariff,
            sellers=sellers,
            order_id=order_id,
            number=number,
            buyer=caller,
            shipping_address=command.shipping_address,
            billing_address=command.billing_address,
            payment_method=command.payment_method,
            at=now,
        )
        order = Order.evolve(None, placed)
        events: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            (StreamRef(LISTINGS, listing_id), decided) for listing_id, decided in reserved.items()
        ]
        if cart is not None and (checked_out := cart.check_out(order_id, tuple(reserved))):
            events.append((cart_ref, checked_out))
        order_events: list[Any] = [placed]
        if intent is not None:
            created, linked = linked_payment(None, order, intent)
            order_events += linked
            events.append((StreamRef(PAYMENTS, stream_id("payment", intent.id)), created))
        events.insert(0, (StreamRef(ORDERS, order_id), order_events))
        after = ORDERS.fold(None, order_events)
        assert after is not None
        return Proposal(outcome=after, events=events)

    async def place(listing_ids: Sequence[ListingId]) -> Changed[Order]:
        listing_refs = [StreamRef(LISTINGS, listing_id) for listing_id in listing_ids]
        # Whose a listing is never changes, so that an old memory of it will do. Sellers are only read, and so orders
        # do not get in each other's way there.
        listings = await store.glance(listing_refs, within=A_DAY)
        sellers = {listing.state.seller_id for listing in listings if listing.state is not None}
        seller_refs = [StreamRef(SELLERS, seller_id) for seller_id in sellers]
        refs: list[StreamRef[Any, Any]] = [cart_ref, *listing_refs, *seller_refs]
        return await store.change_together(refs, partial(decide, listing_ids), metadata)

    if named:
        return await place(named)
    (glanced,) = await store.glance([cart_ref])
    try:
        return await place(_listings_in(glanced.state))
    except ConcurrentChangeError:
        # Most likely it was filled through another process a moment ago, and the glance was older than that.
        loaded = await store.load(CARTS, cart_ref.id)
        if loaded.version == glanced.version:
            raise
        return await place(_listings_in(loaded.state))


def _listings_in(cart: Cart | None) -> list[ListingId]:
    return list(cart.lines) if cart else []


def _lines_of(cart: Cart | None, planned: Sequence[ListingId]) -> list[WantedLine]:
    if cart is None or not cart.lines:
        raise CartEmptyError("The cart is empty")
    if not set(cart.lines) <= set(planned):
        raise ConcurrentChangeError("The cart has changed meanwhile")
    return [
        WantedLine(listing_id=listing_id, quantity=quantity) for listing_id, quantity in cart.lines.items()
    ]
