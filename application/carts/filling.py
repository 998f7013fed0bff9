"""Filling a cart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from application.errors import ConcurrentChangeError
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from application.promotions.dealing import Dealt, deal_refs, dealt
from domain.carts.cart import CARTS, Cart, HeldCoupon
from domain.carts.events import CartEvent, cart_of
from domain.filling import LeftOut, Shelf, Wish, acknowledged, added, changed, merged, synced
from domain.kernel import AccountId, DomainError, ListingId, SellerId
from domain.listings.listing import LISTINGS, Listing
from domain.sellers.seller import SELLERS, Seller

MOST_TRIES: Final = 50
"""Somebody else's change of the same cart or listing is the only reason to try again."""

_A_DAY: Final = 86_400.0


class AddToCart(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    listing_id: ListingId
    quantity: int


class ChangeCartItem(msgspec.Struct, frozen=True, kw_only=True):
    """Quantity 0 removes the line (C29)."""

    account_id: AccountId
    listing_id: ListingId
    quantity: int


class SyncCart(msgspec.Struct, frozen=True, kw_only=True):
    """The cart as a client has kept it, instead of what is in it (S2 §15)."""

    account_id: AccountId
    wishes: tuple[Wish, ...]


class MergeCart(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody put into a cart before they signed in, besides what is in it."""

    account_id: AccountId
    wishes: tuple[Wish, ...]


class ClearCart(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId


class AcknowledgePrices(msgspec.Struct, frozen=True, kw_only=True):
    """Its owner has seen what everything in the cart costs now."""

    account_id: AccountId


class PricedCart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart, what it is looked at with as that is now, and what else its price depends on.

    ``left_out`` is what of a cart that was brought along could not be had.
    """

    cart: Cart
    shelf: Shelf
    dealt: Dealt
    left_out: Sequence[LeftOut] = ()


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What is to happen to a cart, and what of it could not be had."""

    events: Sequence[CartEvent]
    left_out: Sequence[LeftOut] = ()


Decide = Callable[[Cart, Shelf], Decided]


async def add_to_cart(
    command: AddToCart, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    now = clock.now()

    def decide(cart: Cart, shelf: Shelf) -> Decided:
        return Decided(events=added(cart, command.listing_id, command.quantity, shelf, now))

    return await filled(command.account_id, (command.listing_id,), decide, metadata, store)


async def change_cart_item(
    command: ChangeCartItem, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    now = clock.now()

    def decide(cart: Cart, shelf: Shelf) -> Decided:
        return Decided(events=changed(cart, command.listing_id, command.quantity, shelf, now))

    return await filled(command.account_id, (command.listing_id,), decide, metadata, store)


async def sync_cart(
    command: SyncCart, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    now = clock.now()

    def decide(cart: Cart, shelf: Shelf) -> Decided:
        return Decided(events=synced(cart, command.wishes, shelf, now))

    return await filled(command.account_id, _named_in(command.wishes), decide, metadata, store)


async def merge_cart(
    command: MergeCart, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    """What is left out is never left out because of an old memory of it."""
    now = clock.now()

    def decide(cart: Cart, shelf: Shelf) -> Decided:
        events, left_out = merged(cart, command.wishes, shelf, now)
        return Decided(events=events, left_out=left_out)

    return await filled(command.account_id, _named_in(command.wishes), decide, metadata, store, within=0)


async def clear_cart(
    command: ClearCart, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    now = clock.now()
    return await filled(
        command.account_id, (), lambda cart, _: Decided(events=cart.clear(now)), metadata, store
    )


async def acknowledge_prices(
    command: AcknowledgePrices, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[PricedCart]:
    now = clock.now()

    def decide(cart: Cart, shelf: Shelf) -> Decided:
        return Decided(events=acknowledged(cart, shelf, now))

    return await filled(command.account_id, (), decide, metadata, store)


async def filled(
    account_id: AccountId,
    named: Sequence[ListingId],
    decide: Decide,
    metadata: Metadata,
    store: EventStore,
    *,
    within: float = _A_DAY,
) -> Changed[PricedCart]:
    """A glance at the listings is enough to say yes, because the order will look closely; not to say no."""
    around = await _Around.of(account_id, named, store, within=within)
    for _ in range(MOST_TRIES):
        try:
            return await _changed(around, decide, metadata, store)
        except DomainError:
            before, around = around, await _Around.of(account_id, named, store, within=0)
            if around.versions == before.versions:
                raise
    return await _changed(around, decide, metadata, store)


async def _changed(
    around: _Around, decide: Decide, metadata: Metadata, store: EventStore
) -> Changed[PricedCart]:
    cart_ref = StreamRef(CARTS, cart_of(around.account_id))
    sellers = around.sellers_named
    refs: list[StreamRef[Any, Any]] = [cart_ref, *(StreamRef(SELLERS, seller_id) for seller_id in sellers)]
    held, deals_from = around.held, len(refs)

    def propose(loaded: Sequence[Loaded[Any]]) -> Proposal[PricedCart]:
        opened: list[CartEvent] = []
        cart: Cart | None = loaded[0].state
        if cart is None:
            cart, opened = Cart.open(cart_of(around.account_id), around.account_id)
        if loaded[0].version != around.cart.version and not around.suits(cart):
            raise ConcurrentChangeError("The cart has changed meanwhile")
        named = {
            seller_id: each.state
            for seller_id, each in zip(sellers, loaded[1:deals_from], strict=True)
            if each.state is not None
        }
        shelf = Shelf(listings=around.listings, sellers={**around.sellers, **named})
        decided = decide(cart, shelf)
        after = CARTS.after(cart, decided.events)
        found = dealt(held, loaded[deals_from:])
        if after.coupon is None and held is not None:
            found = replace(found, coupon=None)
        return Proposal(
            outcome=PricedCart(cart=after, shelf=shelf, dealt=found, left_out=decided.left_out),
            events=[(cart_ref, [*opened, *decided.events])] if decided.events else [],
        )

    return await store.change_together([*refs, *deal_refs(held, around.account_id)], propose, metadata)


class _Around(msgspec.Struct, frozen=True, kw_only=True):
    """A cart, and all that there is around it: the listings in it and those that are named, and who sells them."""

    account_id: AccountId
    named: Sequence[ListingId]
    cart: Loaded[Cart]
    listings: Mapping[ListingId, Listing]
    sellers: Mapping[SellerId, Seller]
    versions: Sequence[int]

    @property
    def held(self) -> HeldCoupon | None:
        return None if self.cart.state is None else self.cart.state.coupon

    def suits(self, cart: Cart) -> bool:
        """Whether what was looked for is enough for it, though it has changed meanwhile."""
        before: Iterable[ListingId] = () if self.cart.state is None else self.cart.state.lines
        return cart.coupon == self.held and cart.lines.keys() <= {*before, *self.named}

    @property
    def sellers_named(self) -> list[SellerId]:
        """Who sells what is named: they are looked at closely, since whether they sell is not seen in the listing."""
        return _sellers_of(self.listings[each] for each in self.named if each in self.listings)

    @classmethod
    async def of(
        cls, account_id: AccountId, named: Sequence[ListingId], store: EventStore, *, within: float
    ) -> _Around:
        """``within`` is how old the memory of the cart and of what is named may be (s): prices are never as old."""
        refs: list[StreamRef[Any, Any]] = [StreamRef(CARTS, cart_of(account_id)), *_listing_refs(named)]
        cart, *those = await store.glance(refs, within=within)
        lines: Iterable[ListingId] = () if cart.state is None else cart.state.lines
        shelf = await shelf_of(dict.fromkeys((*lines, *named)), store)
        return cls(
            account_id=account_id,
            named=named,
            cart=cart,
            listings=shelf.listings,
            sellers=shelf.sellers,
            versions=[cart.version, *(each.version for each in those)],
        )


async def shelf_of(listing_ids: Iterable[ListingId], store: EventStore) -> Shelf:
    """Listings as far as they are there, and who sells them, as they were a moment ago."""
    refs = _listing_refs(listing_ids)
    if not refs:
        return Shelf(listings={})
    # Whose a listing is never changes, so that an old memory of it will do to know whom to look for.
    known = await store.glance(refs, within=_A_DAY)
    sellers = _sellers_of(each.state for each in known if each.state is not None)
    there = await store.glance([*refs, *(StreamRef(SELLERS, seller_id) for seller_id in sellers)])
    return Shelf(
        listings={each.state.id: each.state for each in there[: len(refs)] if each.state is not None},
        sellers={each.state.id: each.state for each in there[len(refs) :] if each.state is not None},
    )


def _listing_refs(listing_ids: Iterable[ListingId]) -> list[StreamRef[Any, Any]]:
    return [StreamRef(LISTINGS, listing_id) for listing_id in listing_ids]


def _sellers_of(listings: Iterable[Listing]) -> list[SellerId]:
    return list(dict.fromkeys(listing.seller_id for listing in listings))


def _named_in(wishes: Sequence[Wish]) -> tuple[ListingId, ...]:
    return tuple(dict.fromkeys(wish.listing_id for wish in wishes if wish.listing_id is not None))
