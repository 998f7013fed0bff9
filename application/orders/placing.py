"""Placing an order: order, stock of every line, cart and the count of its coupon, in one append."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import msgspec

from application.errors import ConcurrentChangeError, UnavailableError
from application.payments.paying import A_DAY, linked_payment
from application.ports import (
    AlreadyAnsweredError,
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    PaymentIntent,
    PaymentProvider,
    Proposal,
    ReturnableNumbers,
    StreamRef,
)
from application.promotions.dealing import Dealt, deal_refs, dealt
from application.promotions.naming import coupon_called
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import Caller
from domain.carts.cart import CARTS, Cart, CartEmptyError, HeldCoupon
from domain.carts.events import CartEvent, cart_of
from domain.kernel import DomainError, Event, ListingId, OrderId, SellerId, stream_id
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing
from domain.money import Money
from domain.orders.events import OrderPlaced, PostalAddress
from domain.orders.order import ORDERS, Order
from domain.orders.pricing import Tariff
from domain.payments.payment import PAYMENTS
from domain.placing import WantedLine, merged, order_of
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import redeemed
from domain.sellers.seller import SELLERS, Seller


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Without lines, the cart is bought (C31), with the coupon in it unless ``coupon_code`` names another one.

    The coupon of the cart counts for named lines too: a client of S2 applies it to the cart and then names what to buy.
    Where these are all that is in the cart it must take something off, as it does in the cart that they were shown; of
    other lines it takes off what it can, and stays in the cart where that is nothing.

    ``intent_id`` names a payment that the client prepared itself, ``expected_total`` is what it showed last.
    """

    caller: Caller
    lines: tuple[WantedLine, ...]
    shipping_address: PostalAddress
    billing_address: PostalAddress | None = None
    payment_method: str = "card"
    intent_id: str = ""
    coupon_code: str = ""
    expected_total: Money | None = None


async def place_order(
    command: PlaceOrder,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: ReturnableNumbers,
    clock: Clock,
    payments: PaymentProvider,
    tariff: Tariff,
) -> Changed[Order]:
    called = await _called(command.coupon_code, metadata, store, keys)
    intent = await payments.intent(command.intent_id) if command.intent_id else None
    now = clock.now()
    counter = f"orders:{now:%Y%m%d}"
    number = await numbers.next(counter)
    wish = _Wish(
        command=command,
        called=called,
        intent=intent,
        number=f"ORD-{now:%Y%m%d}{number:02d}",
        at=now,
        tariff=tariff,
    )
    try:
        return await _placed(wish, metadata, store)
    except (UnavailableError, ConcurrentChangeError):
        # Nobody knows whether there is an order of this number.
        raise
    except (AlreadyAnsweredError, DomainError):
        numbers.give_back(counter, number)
        raise


class _Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is to be, before anything of it is decided; ``called`` is the coupon that it names."""

    command: PlaceOrder
    called: HeldCoupon | None
    intent: PaymentIntent | None
    number: str
    at: datetime
    tariff: Tariff

    @property
    def order_id(self) -> OrderId:
        return OrderId(stream_id("order", self.number))

    @property
    def cart_ref(self) -> StreamRef[Any, Any]:
        return StreamRef(CARTS, cart_of(self.command.caller.account_id))

    @property
    def account_ref(self) -> StreamRef[Any, Any]:
        return StreamRef(ACCOUNTS, self.command.caller.account_id)

    @property
    def named(self) -> list[ListingId]:
        return list(dict.fromkeys(line.listing_id for line in self.command.lines))

    def decide(
        self, listing_ids: Sequence[ListingId], held: HeldCoupon | None, loaded: Sequence[Loaded[Any]]
    ) -> Proposal[Order]:
        command = self.command
        deals = len(deal_refs(held, command.caller.account_id))
        there = _There.of(loaded, len(listing_ids), deals, held)
        cart = there.cart
        wanted = merged(command.lines) or _lines_of(cart, listing_ids)
        if self.called is None and held != _coupon_in(cart):
            raise ConcurrentChangeError("The cart has changed meanwhile")
        placed, reserved = order_of(
            wanted,
            there.listings,
            there.dealt.at(self.at, self.tariff),
            sellers=there.sellers,
            order_id=self.order_id,
            number=self.number,
            buyer=there.buyer,
            shipping_address=command.shipping_address,
            billing_address=command.billing_address,
            payment_method=command.payment_method,
            coupon_must_count=self.called is not None or _is_all_of(cart, listing_ids),
            expected_total=command.expected_total,
        )
        return self._proposal(placed, reserved, there)

    def _proposal(
        self, placed: OrderPlaced, reserved: Mapping[ListingId, Sequence[ListingEvent]], there: _There
    ) -> Proposal[Order]:
        order = Order.evolve(None, placed)
        order_events: list[Any] = [placed]
        stock: Mapping[ListingId, Sequence[ListingEvent]] = reserved
        if not order.total.minor:
            # The provider takes no payment of nothing, so nobody would ever say that it has come.
            order_events += order.confirm("", self.at)
            stock = _committed(order, reserved, there.listings)
        events: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            *((StreamRef(LISTINGS, listing_id), decided) for listing_id, decided in stock.items()),
            *((StreamRef(REDEMPTIONS, count), counted) for count, counted in redeemed(order).items()),
        ]
        if there.cart is not None:
            events.append((self.cart_ref, _checked_out(there.cart, order)))
        if self.intent is not None:
            created, linked = linked_payment(None, order, self.intent)
            order_events += linked
            events.append((StreamRef(PAYMENTS, stream_id("payment", self.intent.id)), created))
        events.insert(0, (StreamRef(ORDERS, order.id), order_events))
        after = ORDERS.fold(None, order_events)
        assert after is not None
        return Proposal(outcome=after, events=events, about=order.id)


async def _placed(wish: _Wish, metadata: Metadata, store: EventStore) -> Changed[Order]:
    account_id = wish.command.caller.account_id
    named, called = wish.named, wish.called

    async def place_from(cart: Cart | None) -> Changed[Order]:
        listing_ids, held = named or _listings_in(cart), called or _coupon_in(cart)
        listing_refs = [StreamRef(LISTINGS, listing_id) for listing_id in listing_ids]
        # Whose a listing is never changes, so that an old memory of it will do. Sellers are only read, and so orders
        # do not get in each other's way there; nor at the account, whose person must be one who may sign in.
        listings = await store.glance(listing_refs, within=A_DAY)
        sellers = {listing.state.seller_id for listing in listings if listing.state is not None}
        refs: list[StreamRef[Any, Any]] = [
            wish.cart_ref,
            wish.account_ref,
            *listing_refs,
            *(StreamRef(SELLERS, seller_id) for seller_id in sellers),
            *deal_refs(held, account_id),
        ]
        return await store.change_together(refs, partial(wish.decide, listing_ids, held), metadata)

    if named:
        # Of the cart only the coupon is wanted, and whether that is still in it is seen by the decision.
        those = [StreamRef(LISTINGS, listing_id) for listing_id in named]
        glanced, *_ = await store.glance([wish.cart_ref, wish.account_ref, *those], within=A_DAY)
    else:
        (glanced,) = await store.glance([wish.cart_ref])
    try:
        return await place_from(glanced.state)
    except ConcurrentChangeError:
        # Most likely it was filled through another process a moment ago, and the glance was older than that.
        loaded = await store.load(CARTS, wish.cart_ref.id)
        if loaded.version == glanced.version:
            raise
        return await place_from(loaded.state)


class _There(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is decided on."""

    cart: Cart | None
    buyer: Account | None
    listings: dict[ListingId, Listing]
    sellers: dict[SellerId, Seller]
    dealt: Dealt

    @classmethod
    def of(cls, loaded: Sequence[Loaded[Any]], listings: int, deals: int, held: HeldCoupon | None) -> _There:
        """As loaded: cart, account, so many listings, their sellers, and at the end what else makes the price."""
        after_listings, after_sellers = 2 + listings, len(loaded) - deals
        return cls(
            cart=loaded[0].state,
            buyer=loaded[1].state,
            listings={each.state.id: each.state for each in loaded[2:after_listings] if each.state},
            sellers={
                each.state.id: each.state for each in loaded[after_listings:after_sellers] if each.state
            },
            dealt=dealt(held, loaded[after_sellers:]),
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
    listing_ids = tuple(line.listing_id for line in order.lines)
    events = cart.check_out(order.id, listing_ids, order.placed_at)
    held = cart.coupon
    if held is not None and any(applied.promotion_id == held.promotion_id for applied in order.promotions):
        events += cart.remove_coupon(order.placed_at)
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


def _is_all_of(cart: Cart | None, listing_ids: Sequence[ListingId]) -> bool:
    """Whether they are what is in the cart, or that and more: then its coupon was shown with them."""
    return cart is not None and bool(cart.lines) and set(cart.lines) <= set(listing_ids)


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
