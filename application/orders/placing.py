"""Placing an order: order, stock of every line, cart and the count of its coupon, in one append."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.countries import country_code
from application.errors import ConcurrentChangeError, UnavailableError
from application.payments.linking import Prepared, prepared_payment
from application.payments.paying import A_DAY
from application.ports import (
    AlreadyAnsweredError,
    Changed,
    Clock,
    EventStore,
    Keys,
    Loaded,
    Metadata,
    Once,
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
from domain.kernel import (
    DomainError,
    Event,
    InvalidInputError,
    ListingId,
    OrderId,
    SellerId,
    stream_id,
)
from domain.listings.events import ListingEvent
from domain.listings.listing import LISTINGS, Listing
from domain.money import Money
from domain.orders.events import OrderEvent, PostalAddress
from domain.orders.order import ORDERS, Order
from domain.orders.pricing import Tariff
from domain.orders.shipping import Sending, ShippingMethod
from domain.payments.events import PaymentEvent
from domain.payments.payment import Payment
from domain.placing import WantedLine, merged, order_of, postal_of, profiles_of, require_may_buy
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import Coupon, Deals, OfferedMethod, Quote, offered_methods, quote, redeemed
from domain.sellers.events import ShippingProfile
from domain.sellers.seller import SELLERS, Seller

T = TypeVar("T")


class SavedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """One of the buyer's own, by its number or uuid; the default one, where none is named."""

    named: int | UUID | None = None


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """On which the shop sells: what is added to the goods, and whether buyers must have proved their address (C53)."""

    tariff: Tariff
    verified_only: bool = False


class PlaceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Without lines, the cart is bought (C31), with the coupon in it unless ``coupon_code`` names another one.

    The coupon of the cart counts for named lines too: a client of S2 applies it to the cart and then names what to buy.
    Where these are all that is in the cart it must take something off, as it does in the cart that they were shown; of
    other lines it takes off what it can, and stays in the cart where that is nothing.

    ``intent_id`` names a payment that the client prepared itself, ``expected_total`` is what it showed last. Where no
    address is to be had, the order is refused unless it ``may_lack_address``.
    """

    caller: Caller
    lines: tuple[WantedLine, ...]
    shipping_address: PostalAddress | SavedAddress = SavedAddress()
    billing_address: PostalAddress | SavedAddress | None = None
    may_lack_address: bool = False
    shipping_method: ShippingMethod = ShippingMethod.STANDARD
    payment_method: str = "card"
    intent_id: str = ""
    coupon_code: str = ""
    expected_total: Money | None = None


class CheckOut(msgspec.Struct, frozen=True, kw_only=True):
    """The same as ``PlaceOrder``, for who wants to be told what a preview would have said, too (C30)."""

    order: PlaceOrder


class CheckedOut(msgspec.Struct, frozen=True, kw_only=True):
    """An order as it is placed, or would be; what became of the coupon, and in which ways it can be sent."""

    order: Order
    coupon: Coupon | None
    quoted: Quote
    methods: Sequence[OfferedMethod]

    @classmethod
    def of(cls, settled: Settled) -> CheckedOut:
        lines, deals = settled.order.lines, settled.deals
        return cls(
            order=settled.order,
            coupon=deals.coupon,
            quoted=quote(lines, deals),
            methods=offered_methods(lines, deals),
        )


async def place_order(
    command: PlaceOrder,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: ReturnableNumbers,
    clock: Clock,
    payments: PaymentProvider,
    conditions: Conditions,
) -> Changed[Order]:
    called = await called_coupon(command.coupon_code, metadata.once, store, keys)
    prepared = await _prepared(command.intent_id, metadata.once, store, payments)
    now = clock.now()
    wish = Wish(command=command, called=called, prepared=prepared, at=now, conditions=conditions)
    return await _numbered(wish, lambda settled: settled.order, metadata, store, numbers)


async def check_out(
    command: CheckOut,
    metadata: Metadata,
    *,
    store: EventStore,
    keys: Keys,
    numbers: ReturnableNumbers,
    clock: Clock,
    payments: PaymentProvider,
    conditions: Conditions,
) -> Changed[CheckedOut]:
    order = command.order
    called = await called_coupon(order.coupon_code, metadata.once, store, keys)
    prepared = await _prepared(order.intent_id, metadata.once, store, payments)
    wish = Wish(command=order, called=called, prepared=prepared, at=clock.now(), conditions=conditions)
    return await _numbered(wish, CheckedOut.of, metadata, store, numbers)


async def _numbered(
    wish: Wish,
    outcome_of: Callable[[Settled], T],
    metadata: Metadata,
    store: EventStore,
    numbers: ReturnableNumbers,
) -> Changed[T]:
    """Place it under the next number of its day."""
    counter = f"orders:{wish.at:%Y%m%d}"
    number = await numbers.next(counter)
    numbered = replace(wish, number=f"ORD-{wish.at:%Y%m%d}{number:02d}")

    async def place(planned: Planned) -> Changed[T]:
        def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[T]:
            settled = numbered.settle(planned, loaded)
            events = numbered.events(settled)
            return Proposal(outcome=outcome_of(settled), events=events, about=settled.order.id)

        return await store.change_together(planned.refs, decide, metadata)

    try:
        return await planned_over(numbered, store, place)
    except (UnavailableError, ConcurrentChangeError):
        # Nobody knows whether there is an order of this number.
        raise
    except (AlreadyAnsweredError, DomainError):
        numbers.give_back(counter, number)
        raise


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is to be decided on: which listings, and which coupon."""

    refs: Sequence[StreamRef[Any, Any]]
    listing_ids: Sequence[ListingId]
    held: HeldCoupon | None


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is to be, before anything of it is decided; ``called`` is the coupon that it names.

    Without a ``number`` it is only to be seen what it would be.
    """

    command: PlaceOrder
    called: HeldCoupon | None
    prepared: Prepared | None
    at: datetime
    conditions: Conditions
    number: str = ""

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

    def settle(self, planned: Planned, loaded: Sequence[Loaded[Any]]) -> Settled:
        """The order as it is, or would be, placed now; refused as a whole where something stands in its way."""
        command = self.command
        there = self.there(planned, loaded)
        buyer = require_may_buy(there.buyer)
        if self.conditions.verified_only:
            buyer.require_proved_email()
        shipping = self.postal(buyer, command.shipping_address, "shippingAddress")
        billing = command.billing_address
        deals = self.deals(there, shipping)
        placed, reserved = order_of(
            self.wanted(there, planned),
            there.listings,
            deals,
            sellers=there.sellers,
            order_id=self.order_id,
            number=self.number,
            buyer=buyer,
            shipping_address=shipping,
            billing_address=None if billing is None else self.postal(buyer, billing, "billingAddress"),
            payment_method=command.payment_method,
            coupon_must_count=self.called is not None or _is_all_of(there.cart, planned.listing_ids),
            expected_total=command.expected_total,
        )
        order = Order.evolve(None, placed)
        order_events: list[OrderEvent] = [placed]
        payment: Sequence[PaymentEvent] = []
        if self.prepared is not None:
            linked = self.prepared.linked(there.payment, order, self.at)
            order_events += linked.order
            payment = linked.payment
        elif not order.total.minor:
            # The provider takes no payment of nothing, so nobody would ever say that it has come.
            order_events += order.confirm("", self.at)
        after = ORDERS.after(None, order_events)
        return Settled(
            order=after,
            order_events=order_events,
            payment=payment,
            reserved=reserved,
            deals=deals,
            there=there,
        )

    def events(self, settled: Settled) -> list[tuple[StreamRef[Any, Any], Sequence[Event]]]:
        order, there = settled.order, settled.there
        stock: Mapping[ListingId, Sequence[ListingEvent]] = settled.reserved
        if order.paid:
            stock = _committed(order, settled.reserved, there.listings)
        events: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = [
            (StreamRef(ORDERS, order.id), settled.order_events),
            *((StreamRef(LISTINGS, listing_id), decided) for listing_id, decided in stock.items()),
            *((StreamRef(REDEMPTIONS, count), counted) for count, counted in redeemed(order).items()),
        ]
        if there.cart is not None:
            events.append((self.cart_ref, _checked_out(there.cart, order)))
        if self.prepared is not None:
            events.append((self.prepared.ref, settled.payment))
        return events

    def there(self, planned: Planned, loaded: Sequence[Loaded[Any]]) -> There:
        """What was loaded of all that ``planned`` names; refused where that is not the cart's coupon any more."""
        deals = len(deal_refs(planned.held, self.command.caller.account_id))
        payment: Payment | None = None
        if self.prepared is not None:
            *loaded, of_payment = loaded
            payment = of_payment.state
        there = There.of(loaded, len(planned.listing_ids), deals, planned.held, payment)
        if self.called is None and planned.held != _coupon_in(there.cart):
            raise ConcurrentChangeError("The cart has changed meanwhile")
        return there

    def wanted(self, there: There, planned: Planned) -> list[WantedLine]:
        return merged(self.command.lines) or _lines_of(there.cart, planned.listing_ids)

    def deals(self, there: There, destination: PostalAddress) -> Deals:
        sending = sending_to(destination.country, self.command.shipping_method, there.sellers.values())
        return there.dealt.at(self.at, self.conditions.tariff, sending)

    def postal(self, buyer: Account, given: PostalAddress | SavedAddress, field: str) -> PostalAddress:
        if isinstance(given, PostalAddress):
            return given
        found = postal_of(buyer, given.named)
        if found is None and not self.command.may_lack_address:
            raise InvalidInputError({field: ["Is required"]})
        return found or PostalAddress()


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """An order that is decided, and what it was decided on."""

    order: Order
    order_events: Sequence[OrderEvent]
    payment: Sequence[PaymentEvent]
    reserved: Mapping[ListingId, Sequence[ListingEvent]]
    deals: Deals
    there: There


async def planned_over(wish: Wish, store: EventStore, carry_out: Callable[[Planned], Awaitable[T]]) -> T:
    """Carry out something on all that the order depends on: what is named, or what is in the cart."""
    account_id = wish.command.caller.account_id
    named, called = wish.named, wish.called

    async def over(cart: Cart | None) -> T:
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
            *((wish.prepared.ref,) if wish.prepared is not None else ()),
        ]
        return await carry_out(Planned(refs=refs, listing_ids=listing_ids, held=held))

    if named:
        # Of the cart only the coupon is wanted, and whether that is still in it is seen by the decision.
        those = [StreamRef(LISTINGS, listing_id) for listing_id in named]
        glanced, *_ = await store.glance([wish.cart_ref, wish.account_ref, *those], within=A_DAY)
    else:
        (glanced,) = await store.glance([wish.cart_ref])
    try:
        return await over(glanced.state)
    except ConcurrentChangeError:
        # Most likely it was filled through another process a moment ago, and the glance was older than that.
        loaded = await store.load(CARTS, wish.cart_ref.id)
        if loaded.version == glanced.version:
            raise
        return await over(loaded.state)


class There(msgspec.Struct, frozen=True, kw_only=True):
    """What an order is decided on."""

    cart: Cart | None
    buyer: Account | None
    listings: dict[ListingId, Listing]
    sellers: dict[SellerId, Seller]
    dealt: Dealt
    payment: Payment | None = None

    @classmethod
    def of(
        cls,
        loaded: Sequence[Loaded[Any]],
        listings: int,
        deals: int,
        held: HeldCoupon | None,
        payment: Payment | None,
    ) -> There:
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
            payment=payment,
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


async def _prepared(
    intent_id: str, once: Once | None, store: EventStore, payments: PaymentProvider
) -> Prepared | None:
    """The payment that is named. A repeated order is answered though its payment is an order's by now: its own."""
    if not intent_id:
        return None
    if once is not None:
        await store.raise_if_answered(once)
    return await prepared_payment(intent_id, store, payments)


async def called_coupon(code: str, once: Once | None, store: EventStore, keys: Keys) -> HeldCoupon | None:
    """The coupon that is named. A repeated order is answered though its coupon may be gone."""
    if not code:
        return None
    if once is not None:
        await store.raise_if_answered(once)
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


def sending_to(country: str, method: ShippingMethod, sellers: Iterable[Seller]) -> Sending:
    """Where an order goes, in words by which that can be compared, whatever buyer and sellers call their countries."""
    profiles = {profile_id: _in_codes(profile) for profile_id, profile in profiles_of(sellers).items()}
    return Sending(destination=country_code(country), method=method, profiles=profiles)


@lru_cache(maxsize=4096)
def _in_codes(profile: ShippingProfile) -> ShippingProfile:
    return replace(profile, countries=tuple(country_code(country) for country in profile.countries))
