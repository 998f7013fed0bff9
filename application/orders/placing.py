"""Placing an order: order, stock of every line, cart and the count of its coupon, in one append."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from application.errors import ConcurrentChangeError
from application.payments.paying import linked_payment
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    Numbers,
    PaymentProvider,
    Proposal,
    StreamRef,
)
from application.promotions.dealing import deal_refs, dealt
from application.promotions.naming import coupon_called
from domain.accounts.events import Caller
from domain.carts.cart import CARTS, Cart, CartEmptyError, HeldCoupon
from domain.carts.events import CartEvent, cart_of
from domain.kernel import Event, ListingId, OrderId, SellerId, stream_id
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing
from domain.orders.events import PostalAddress
from domain.orders.order import ORDERS, Order
from domain.orders.pricing import Tariff
from domain.payments.payment import PAYMENTS
from domain.placing import WantedLine, merged, order_of
from domain.promotions.offers import Offers
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import Coupon, redeemed
from domain.sellers.seller import SELLERS, Seller

A_DAY: Final = 86_400.0


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Without lines, the cart is bought (C31), with the coupon in it unless ``coupon_code`` names another one.

    ``intent_id`` names a payment that the client prepared itself.
    """

    caller: Caller
    lines: tuple[WantedLine, ...]
    shipping_address: PostalAddress
    billing_address: PostalAddress | None = None
    payment_method: str = "card"
    intent_id: str = ""
    coupon_code: str = ""


async def place_order(
    command: PlaceOrder,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: Numbers,
    clock: Clock,
    payments: PaymentProvider,
    tariff: Tariff,
) -> Changed[Order]:
    caller = command.caller
    cart_ref = StreamRef(CARTS, cart_of(caller.account_id))
    named = [line.listing_id for line in merged(command.lines)]
    called = await _called(command.coupon_code, metadata, store, keys)
    intent = await payments.intent(command.intent_id) if command.intent_id else None
    now = clock.now()
    day = f"{now:%Y%m%d}"
    number = f"ORD-{day}{await numbers.next(f'orders:{day}'):02d}"
    order_id = OrderId(stream_id("order", number))

    def decide(
        listing_ids: Sequence[ListingId], held: HeldCoupon | None, loaded: Sequence[Loaded[Any]]
    ) -> Proposal[Order]:
        there = _There.of(loaded, len(listing_ids), len(deal_refs(held, caller.account_id)), held)
        cart = there.cart
        wanted = merged(command.lines) or _lines_of(cart, listing_ids)
        if not named and called is None and held != _coupon_in(cart):
            raise ConcurrentChangeError("The cart has changed meanwhile")
        placed, reserved = order_of(
            wanted,
            there.listings,
            tariff,
            sellers=there.sellers,
            order_id=order_id,
            number=number,
            buyer=caller,
            shipping_address=command.shipping_address,
            billing_address=command.billing_address,
            payment_method=command.payment_method,
            at=now,
            offers=there.offers,
            coupon=there.coupon,
        )
        order = Order.evolve(None, placed)
        order_events: list[Any] = [placed]
        stock: Mapping[ListingId, Sequence[ListingEvent]] = reserved
        if not order.total.minor:
            # The provider takes no payment of nothing, so nobody would ever say that it has come.
            order_events += order.confirm("", now)
            stock = _committed(order, reserved, there.listings)
        events: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            *((StreamRef(LISTINGS, listing_id), decided) for listing_id, decided in stock.items()),
            *((StreamRef(REDEMPTIONS, count), counted) for count, counted in redeemed(order).items()),
        ]
        if cart is not None:
            events.append((cart_ref, _checked_out(cart, order)))
        if intent is not None:
            created, linked = linked_payment(None, order, intent)
            order_events += linked
            events.append((StreamRef(PAYMENTS, stream_id("payment", intent.id)), created))
        events.insert(0, (StreamRef(ORDERS, order_id), order_events))
        after = ORDERS.fold(None, order_events)
        assert after is not None
        return Proposal(outcome=after, events=events)

    async def place(listing_ids: Sequence[ListingId], held: HeldCoupon | None) -> Changed[Order]:
        listing_refs = [StreamRef(LISTINGS, listing_id) for listing_id in listing_ids]
        # Whose a listing is never changes, so that an old memory of it will do. Sellers are only read, and so orders
        # do not get in each other's way there.
        listings = await store.glance(listing_refs, within=A_DAY)
        sellers = {listing.state.seller_id for listing in listings if listing.state is not None}
        seller_refs = [StreamRef(SELLERS, seller_id) for seller_id in sellers]
        refs: list[StreamRef[Any, Any]] = [
            cart_ref,
            *listing_refs,
            *seller_refs,
            *deal_refs(held, caller.account_id),
        ]
        return await store.change_together(refs, partial(decide, listing_ids, held), metadata)

    if named:
        return await place(named, called)
    (glanced,) = await store.glance([cart_ref])
    try:
        return await place(_listings_in(glanced.state), called or _coupon_in(glanced.state))
    except ConcurrentChangeError:
        # Most likely it was filled through another process a moment ago, and the glance was older than that.
        loaded = await store.load(CARTS, cart_ref.id)
        if loaded.version == glanced.version:
            raise
        return await place(_listings_in(loaded.state), called or _coupon_in(loaded.state))


class _There(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is decided on."""

    cart: Cart | None
    listings: dict[ListingId, Listing]
    sellers: dict[SellerId, Seller]
    offers: Offers | None
    coupon: Coupon | None

    @classmethod
    def of(cls, loaded: Sequence[Loaded[Any]], listings: int, deals: int, held: HeldCoupon | None) -> _There:
        """As it was loaded: the cart, so many listings, their sellers, and at the end what else makes the price."""
        after_listings, after_sellers = 1 + listings, len(loaded) - deals
        offers, coupon = dealt(held, loaded[after_sellers:])
        return cls(
            cart=loaded[0].state,
            listings={each.state.id: each.state for each in loaded[1:after_listings] if each.state},
            sellers={
                each.state.id: each.state for each in loaded[after_listings:after_sellers] if each.state
            },
            offers=offers,
            coupon=coupon,
        )


def _committed(
    order: Order, reserved: Mapping[ListingId, Sequence[ListingEvent]], listings: Mapping[ListingId, Listing]
) -> dict[ListingId, Sequence[ListingEvent]]:
    """The stock of an order that is paid as soon as it is placed."""
    return {
        line.listing_id: [
            *reserved[line.listing_id],
            *listings[line.listing_id].commit(order.id, line.quantity),
        ]
        for line in order.lines
    }


def _checked_out(cart: Cart, order: Order) -> list[CartEvent]:
    """What was bought is gone from the cart, and so is its coupon if that was used."""
    events = cart.check_out(order.id, tuple(line.listing_id for line in order.lines))
    held = cart.coupon
    if held is not None and any(applied.promotion_id == held.promotion_id for applied in order.promotions):
        events += cart.remove_coupon()
    return events


def _listings_in(cart: Cart | None) -> list[ListingId]:
    return list(cart.lines) if cart else []


async def _called(code: str, metadata: Metadata, store: EventStore, keys: Keys) -> HeldCoupon | None:
    """The coupon that is named. A repeated order is answered though its coupon may be gone."""
    if not code:
        return None
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    return await coupon_called(code, store, keys)


def _coupon_in(cart: Cart | None) -> HeldCoupon | None:
    return None if cart is None else cart.coupon


def _lines_of(cart: Cart | None, planned: Sequence[ListingId]) -> list[WantedLine]:
    if cart is None or not cart.lines:
        raise CartEmptyError("The cart is empty")
    if not set(cart.lines) <= set(planned):
        raise ConcurrentChangeError("The cart has changed meanwhile")
    return [
        WantedLine(listing_id=listing_id, quantity=quantity) for listing_id, quantity in cart.lines.items()
    ]
