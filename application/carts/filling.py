"""Filling a cart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from application.errors import ConcurrentChangeError
from application.ports import Changed, EventStore, Loaded, Metadata, Proposal, StreamRef
from application.promotions.dealing import Dealt, deal_refs, dealt
from domain.carts.cart import CARTS, Cart, CartItemNotFoundError, HeldCoupon, OwnListingError
from domain.carts.events import CartEvent, cart_of
from domain.kernel import AccountId, DomainError, ListingId
from domain.listings.listing import LISTINGS, Listing, ProductNotFoundError
from domain.placing import require_on_sale
from domain.sellers.events import seller_of
from domain.sellers.seller import SELLERS, Seller


class AddToCart(msgspec.Struct, frozen=True, kw_only=True):
    account_id: AccountId
    listing_id: ListingId
    quantity: int


class ChangeCartItem(msgspec.Struct, frozen=True, kw_only=True):
    """Quantity 0 removes the line (C29)."""

    account_id: AccountId
    listing_id: ListingId
    quantity: int


class PricedCart(msgspec.Struct, frozen=True, kw_only=True):
    """A cart, the listings of its lines as they are now, and what else its price depends on."""

    cart: Cart
    listings: Mapping[ListingId, Listing]
    dealt: Dealt


async def add_to_cart(command: AddToCart, metadata: Metadata, *, store: EventStore) -> Changed[PricedCart]:
    def decide(cart: Cart, listing: Listing | None, seller: Seller | None) -> list[CartEvent]:
        if listing is None:
            raise ProductNotFoundError("Product not found")
        require_on_sale(listing, seller)
        if listing.seller_id == seller_of(command.account_id):
            raise OwnListingError("You cannot buy what you sell")
        events = cart.add(listing.id, command.quantity)
        listing.require_purchasable(cart.lines.get(listing.id, 0) + command.quantity)
        return events

    return await _change(command.account_id, command.listing_id, decide, metadata, store)


async def change_cart_item(
    command: ChangeCartItem, metadata: Metadata, *, store: EventStore
) -> Changed[PricedCart]:
    def decide(cart: Cart, listing: Listing | None, seller: Seller | None) -> list[CartEvent]:
        if listing is None:
            raise CartItemNotFoundError("This product is not in the cart")
        events = cart.change_quantity(listing.id, command.quantity)
        if command.quantity > cart.lines[listing.id]:
            require_on_sale(listing, seller)
            listing.require_purchasable(command.quantity)
        return events

    return await _change(command.account_id, command.listing_id, decide, metadata, store)


async def _change(
    account_id: AccountId,
    listing_id: ListingId,
    decide_cart: Callable[[Cart, Listing | None, Seller | None], Sequence[CartEvent]],
    metadata: Metadata,
    store: EventStore,
) -> Changed[PricedCart]:
    """A glance at the listing is enough to say yes, because the order will look closely; not to say no."""
    cart_ref = StreamRef(CARTS, cart_of(account_id))
    refs: list[StreamRef[Any, Any]] = [cart_ref, StreamRef(LISTINGS, listing_id)]

    async def change_on(glanced: Cart | None, listing: Listing | None) -> Changed[PricedCart]:
        changed: list[StreamRef[Any, Any]] = [cart_ref]
        if listing is not None:
            changed.append(StreamRef(SELLERS, listing.seller_id))
        listings = await listings_in(glanced, store) if glanced else {}
        if listing is not None:
            listings[listing.id] = listing
        held, prices_from = _coupon_in(glanced), len(changed)

        def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[PricedCart]:
            opened: list[CartEvent] = []
            cart: Cart | None = loaded[0].state
            if cart is None:
                cart, opened = Cart.open(cart_of(account_id), account_id)
            seller: Seller | None = loaded[1].state if listing is not None else None
            if cart.coupon != held:
                raise ConcurrentChangeError("The cart has changed meanwhile")
            decided = decide_cart(cart, listing, seller)
            after = CARTS.fold(cart, decided)
            assert after is not None
            return Proposal(
                outcome=PricedCart(cart=after, listings=listings, dealt=dealt(held, loaded[prices_from:])),
                events=[(cart_ref, [*opened, *decided])] if decided else [],
            )

        return await store.change_together([*changed, *deal_refs(held, account_id)], decide, metadata)

    cart, listing = await store.glance(refs)
    try:
        return await change_on(cart.state, listing.state)
    except DomainError:
        cart_now, listing_now = await store.load_many(refs)
        if listing_now.version == listing.version and _coupon_in(cart_now.state) == _coupon_in(cart.state):
            raise
        return await change_on(cart_now.state, listing_now.state)


async def listings_in(cart: Cart, store: EventStore) -> dict[ListingId, Listing]:
    """What is in the cart, as far as it is there."""
    ids = list(cart.lines)
    loaded = await store.glance([StreamRef(LISTINGS, listing_id) for listing_id in ids])
    return {
        listing_id: each.state for listing_id, each in zip(ids, loaded, strict=True) if each.state is not None
    }


def _coupon_in(cart: Cart | None) -> HeldCoupon | None:
    return None if cart is None else cart.coupon
