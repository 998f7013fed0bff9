"""Filling a cart: decided over the cart and what the listings in it are by now; and what there is to be told of them.

An order looks closely at every line. A cart may be behind: a line that cannot be had any more stays in it, is marked,
and is in no sum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from domain.carts.cart import MOST_LINES, MOST_UNITS, Cart, CartItemNotFoundError
from domain.carts.events import CartEvent, CartLine
from domain.categories.tree import CategoryTree
from domain.kernel import AccountId, InvalidInputError, ListingId, SellerId
from domain.listings.events import ListingStatus
from domain.listings.listing import Listing, ProductNotFoundError
from domain.money import Money
from domain.orders.events import OrderLine
from domain.orders.pricing import line_totals
from domain.placing import line_of, require_not_own, require_on_sale
from domain.promotions.events import ScopeKind
from domain.redeeming import Deals
from domain.sellers.events import seller_of
from domain.sellers.seller import Seller


class Reason(StrEnum):
    """Why something cannot be had."""

    SOLD = "sold"
    UNAVAILABLE = "unavailable"
    OUT_OF_STOCK = "out_of_stock"
    INSUFFICIENT_STOCK = "insufficient_stock"
    OWN_LISTING = "own_listing"
    CART_FULL = "cart_full"


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """What a cart is looked at with: its listings and those that are wished for, and who sells them.

    Of some sellers there are no events, and of what never was there is no listing.
    """

    listings: Mapping[ListingId, Listing]
    sellers: Mapping[SellerId, Seller] = {}

    def listing(self, listing_id: ListingId) -> Listing:
        """What may be wished for: ``ProductNotFoundError`` where there is no such thing, or its seller is suspended."""
        listing = self.listings.get(listing_id)
        if listing is None:
            raise ProductNotFoundError("Product not found")
        require_on_sale(listing, self.sellers.get(listing.seller_id))
        return listing

    def hides(self, listing: Listing) -> bool:
        """Whether nobody may know of it because of who sells it."""
        seller = self.sellers.get(listing.seller_id)
        return seller is not None and not seller.sells

    @property
    def hidden(self) -> frozenset[ListingId]:
        if all(seller.sells for seller in self.sellers.values()):
            return frozenset()
        return frozenset(listing.id for listing in self.listings.values() if self.hides(listing))


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a cart that a client has kept by itself.

    ``reference`` is how the client calls it, ``listing_id`` nothing where nobody knows what that is. ``price`` is the
    unit price that it showed, if it says so.
    """

    reference: str
    listing_id: ListingId | None
    quantity: int
    price: Money | None = None


class LeftOut(msgspec.Struct, frozen=True, kw_only=True):
    """What of a cart that was brought along could not be had: ``quantity`` of so many as were ``requested``.

    ``reference`` is the listing's number, or what the client called it where it is none of ours.
    """

    reference: int | str
    requested: int
    quantity: int = 0
    reason: Reason


class SeenLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it is to be had now: not, where there is a ``reason``.

    ``line`` is what an order of it would have, and is absent where nobody may know anything of the listing but its
    ``number``. ``shown_before`` is what one of it was sold for when that was another sum than ``sale_price`` now.
    """

    listing_id: ListingId
    number: int
    quantity: int
    added_at: datetime | None = None
    reason: Reason | None = None
    line: OrderLine | None = None
    available: int = 0
    sale_price: Money = Money(0)
    shown_before: Money | None = None


def sale_price(listing: Listing) -> Money:
    """What one of it is sold for, as ``Listing.sale_price`` has it; told from memory, since carts ask all the time."""
    return line_totals(listing.price, listing.discount_percentage, 1)[1]


def seen(
    cart: Cart,
    listings: Mapping[ListingId, Listing],
    hidden: frozenset[ListingId],
    tree: CategoryTree | None,
) -> list[SeenLine]:
    """Every line whose listing is known; ``hidden`` are those that are out of sight because of their seller."""
    return [
        _seen(cart, listing, quantity, tree, hidden=bool(hidden) and listing_id in hidden)
        for listing_id, quantity in cart.lines.items()
        if (listing := listings.get(listing_id)) is not None
    ]


def tree_for(deals: Deals) -> CategoryTree | None:
    """Where the listings are, as far as a price depends on it: few promotions are for what is in some category."""
    offers = deals.offers.posted.values() if deals.offers is not None else ()
    promotion = None if deals.coupon is None else deals.coupon.promotion
    scopes = [offer.terms.scope for offer in offers]
    if promotion is not None:
        scopes.append(promotion.terms.scope)
    return deals.tree if any(scope.kind is ScopeKind.CATEGORIES for scope in scopes) else None


def orderable(lines: Sequence[SeenLine]) -> list[OrderLine]:
    """What the cart comes to: all that is to be had."""
    return [each.line for each in lines if each.line is not None and each.reason is None]


def added(cart: Cart, listing_id: ListingId, quantity: int, shelf: Shelf, at: datetime) -> list[CartEvent]:
    listing = shelf.listing(listing_id)
    require_not_own(listing, cart.account_id)
    events = cart.add(listing.id, quantity, sale_price(listing), at)
    listing.require_purchasable(cart.lines.get(listing.id, 0) + quantity)
    return events


def changed(cart: Cart, listing_id: ListingId, quantity: int, shelf: Shelf, at: datetime) -> list[CartEvent]:
    """A line's quantity. Less of it, or none, is always to be had; and its owner sees what it costs, if it is seen."""
    listing = shelf.listings.get(listing_id)
    if listing is None:
        raise CartItemNotFoundError("This product is not in the cart")
    events = cart.change_quantity(listing.id, quantity, _price_in_sight(listing, shelf), at)
    if quantity > cart.lines[listing.id]:
        shelf.listing(listing.id).require_purchasable(quantity)
    return events


def acknowledged(cart: Cart, shelf: Shelf, at: datetime) -> list[CartEvent]:
    """Its owner has seen what everything in it costs now."""
    prices = {
        listing_id: price
        for listing_id in cart.lines
        if (listing := shelf.listings.get(listing_id)) is not None
        and (price := _price_in_sight(listing, shelf)) is not None
    }
    return cart.acknowledge(prices, at)


def synced(cart: Cart, wishes: Sequence[Wish], shelf: Shelf, at: datetime) -> list[CartEvent]:
    """Hold just what is wished for, which must be to be had as a whole."""
    lines: list[CartLine] = []
    for wish in _together(wishes):
        listing = None if wish.listing_id is None else shelf.listings.get(wish.listing_id)
        if listing is None:
            raise ProductNotFoundError("Product not found", details={"productId": _called(wish)})
        require_on_sale(listing, shelf.sellers.get(listing.seller_id))
        require_not_own(listing, cart.account_id)
        if wish.quantity > MOST_UNITS:
            raise InvalidInputError({"quantity": [f"Must be between 1 and {MOST_UNITS}"]})
        listing.require_purchasable(wish.quantity)
        lines.append(CartLine(listing_id=listing.id, quantity=wish.quantity, price=_shown_by(wish, listing)))
    return cart.sync(lines, at)


def merged(
    cart: Cart, wishes: Sequence[Wish], shelf: Shelf, at: datetime
) -> tuple[list[CartEvent], list[LeftOut]]:
    """Hold what is wished for besides what is there, as far as it is to be had; and what is not."""
    lines = {line.listing_id: line for line in cart.content}
    left_out: list[LeftOut] = []
    for wish in _together(wishes):
        listing = None if wish.listing_id is None else shelf.listings.get(wish.listing_id)
        if listing is None:
            left_out.append(
                LeftOut(reference=_called(wish), requested=wish.quantity, reason=Reason.UNAVAILABLE)
            )
            continue
        before = lines.get(listing.id)
        held = 0 if before is None else before.quantity
        requested = held + wish.quantity
        reason = _obstacle(listing, requested, cart.account_id, shelf)
        most = min(requested, MOST_UNITS)
        if reason is Reason.INSUFFICIENT_STOCK:
            most = min(most, listing.available)
        elif reason is not None:
            most = held
        elif before is None and len(lines) >= MOST_LINES:
            reason, most = Reason.CART_FULL, 0
        quantity = max(held, most)
        if quantity < requested:
            left_out.append(
                LeftOut(
                    reference=listing.number,
                    requested=requested,
                    quantity=quantity,
                    reason=reason or Reason.CART_FULL,
                )
            )
        if quantity > held:
            price = _shown_by(wish, listing) if before is None or before.price is None else before.price
            lines[listing.id] = CartLine(listing_id=listing.id, quantity=quantity, price=price)
    return cart.sync(list(lines.values()), at), left_out


def _seen(
    cart: Cart, listing: Listing, quantity: int, tree: CategoryTree | None, *, hidden: bool
) -> SeenLine:
    shown = cart.shown_of(listing.id)
    if hidden or not listing.readable:
        return SeenLine(
            listing_id=listing.id,
            number=listing.number,
            quantity=quantity,
            added_at=shown.added_at,
            reason=Reason.UNAVAILABLE,
        )
    price = sale_price(listing)
    return SeenLine(
        listing_id=listing.id,
        number=listing.number,
        quantity=quantity,
        added_at=shown.added_at,
        reason=_shortage(listing, quantity),
        line=line_of(listing, quantity, tree),
        available=listing.available,
        sale_price=price,
        shown_before=None if shown.price in (None, price) else shown.price,
    )


def _shortage(listing: Listing, quantity: int) -> Reason | None:
    """Why so many of something that everybody may read of cannot be had."""
    if listing.status is ListingStatus.SOLD:
        return Reason.SOLD
    if quantity <= listing.available:
        return None
    return Reason.INSUFFICIENT_STOCK if listing.available > 0 else Reason.OUT_OF_STOCK


def _obstacle(listing: Listing, quantity: int, account_id: AccountId, shelf: Shelf) -> Reason | None:
    if shelf.hides(listing) or not listing.readable:
        return Reason.UNAVAILABLE
    if listing.seller_id == seller_of(account_id):
        return Reason.OWN_LISTING
    return _shortage(listing, quantity)


def _price_in_sight(listing: Listing, shelf: Shelf) -> Money | None:
    return sale_price(listing) if listing.readable and not shelf.hides(listing) else None


def _shown_by(wish: Wish, listing: Listing) -> Money:
    """What one of it is sold for, at the price that the client showed, with the discount that there is now."""
    if wish.price is None or wish.price == listing.price:
        return sale_price(listing)
    return wish.price.less(listing.discount_percentage)


def _called(wish: Wish) -> int | str:
    reference = wish.reference
    return (
        int(reference) if reference.isascii() and reference.isdigit() and len(reference) < 19 else reference
    )


def _together(wishes: Sequence[Wish]) -> list[Wish]:
    """One for each listing: what is wished for twice is wished for once, in the sum."""
    by_listing: dict[ListingId | str, Wish] = {}
    for wish in wishes:
        name = wish.reference if wish.listing_id is None else wish.listing_id
        before = by_listing.get(name)
        by_listing[name] = (
            wish if before is None else replace(before, quantity=before.quantity + wish.quantity)
        )
    return list(by_listing.values())
