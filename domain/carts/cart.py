"""A cart: what somebody means to buy. It knows quantities; prices are the catalogue's, at every look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, assert_never

import msgspec
from msgspec.structs import replace

from domain.carts.events import (
    CartAbandoned,
    CartCheckedOut,
    CartCleared,
    CartEvent,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartLine,
    CartOpened,
    CartPricesAcknowledged,
    CartSynced,
    CouponApplied,
    CouponRemoved,
    ShownPrice,
)
from domain.kernel import (
    AccountId,
    CartId,
    Decider,
    InvalidInputError,
    ListingId,
    NotFoundError,
    OrderId,
    PromotionId,
    RuleViolatedError,
)
from domain.money import Money

MOST_UNITS: Final = 999
MOST_LINES: Final = 100

ABANDONED_AFTER: Final = timedelta(days=30)
"""How long nobody must have touched it before it is emptied (A10)."""


class CartNotFoundError(NotFoundError):
    """Of others' carts nobody learns that they are there."""

    code = "CART_NOT_FOUND"


class CartItemNotFoundError(NotFoundError):
    code = "CART_ITEM_NOT_FOUND"


class CartEmptyError(RuleViolatedError):
    code = "CART_EMPTY"


class CartFullError(RuleViolatedError):
    code = "CART_FULL"


class OwnListingError(RuleViolatedError):
    code = "OWN_LISTING"


class HeldCoupon(msgspec.Struct, frozen=True, kw_only=True):
    """A coupon in a cart; what it is worth is the promotion's to say, at every look."""

    promotion_id: PromotionId
    code: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """``price`` is what one of a line was sold for when the cart's owner was last shown it, as far as that is known."""

    price: Money | None = None
    added_at: datetime | None = None


_UNKNOWN: Final = Shown()


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """``lines`` maps each listing to its quantity, in the order in which they were added.

    ``shown`` is what its owner knows of each line, ``touched_at`` when something was last done with it: neither is
    known of what happened before carts kept it.
    """

    id: CartId
    account_id: AccountId
    lines: dict[ListingId, int]
    coupon: HeldCoupon | None = None
    shown: dict[ListingId, Shown] = {}
    touched_at: datetime | None = None

    @classmethod
    def open(cls, cart_id: CartId, account_id: AccountId) -> tuple[Cart, list[CartEvent]]:
        opened = CartOpened(cart_id=cart_id, account_id=account_id)
        return cls.evolve(None, opened), [opened]

    def shown_of(self, listing_id: ListingId) -> Shown:
        return self.shown.get(listing_id, _UNKNOWN)

    def add(
        self, listing_id: ListingId, quantity: int, price: Money | None = None, at: datetime | None = None
    ) -> list[CartEvent]:
        wanted = self.lines.get(listing_id, 0) + quantity
        if quantity < 1 or wanted > MOST_UNITS:
            raise bad_quantity(1)
        if listing_id not in self.lines and len(self.lines) >= MOST_LINES:
            raise CartFullError(f"A cart holds at most {MOST_LINES} different products")
        return [CartItemAdded(cart_id=self.id, listing_id=listing_id, quantity=quantity, price=price, at=at)]

    def change_quantity(
        self, listing_id: ListingId, quantity: int, price: Money | None = None, at: datetime | None = None
    ) -> list[CartEvent]:
        """Set a line's quantity; 0 removes the line (C29). Who sets it has seen its ``price``, be it another one."""
        if not 0 <= quantity <= MOST_UNITS:
            raise bad_quantity(0)
        if listing_id not in self.lines:
            raise CartItemNotFoundError("This product is not in the cart")
        if quantity == 0:
            return [CartItemRemoved(cart_id=self.id, listing_id=listing_id, at=at)]
        if quantity == self.lines[listing_id] and price in (None, self.shown_of(listing_id).price):
            return []
        return [
            CartItemQuantityChanged(
                cart_id=self.id, listing_id=listing_id, quantity=quantity, price=price, at=at
            )
        ]

    def sync(self, lines: Sequence[CartLine], at: datetime) -> list[CartEvent]:
        """Hold these lines, each of another listing, and no others."""
        if len(lines) > MOST_LINES:
            raise CartFullError(f"A cart holds at most {MOST_LINES} different products")
        if not all(1 <= line.quantity <= MOST_UNITS for line in lines):
            raise bad_quantity(1)
        return [] if list(lines) == self.content else [CartSynced(cart_id=self.id, lines=tuple(lines), at=at)]

    @property
    def content(self) -> list[CartLine]:
        return [
            CartLine(listing_id=listing_id, quantity=quantity, price=self.shown_of(listing_id).price)
            for listing_id, quantity in self.lines.items()
        ]

    def acknowledge(self, prices: Mapping[ListingId, Money], at: datetime) -> list[CartEvent]:
        """Its owner has seen ``prices``; of what is not in it they say nothing."""
        news = tuple(
            ShownPrice(listing_id=listing_id, price=prices[listing_id])
            for listing_id in self.lines
            if listing_id in prices and prices[listing_id] != self.shown_of(listing_id).price
        )
        return [CartPricesAcknowledged(cart_id=self.id, prices=news, at=at)] if news else []

    def clear(self, at: datetime) -> list[CartEvent]:
        return [CartCleared(cart_id=self.id, at=at)] if self.holds_something else []

    def check_out(
        self, order_id: OrderId, listing_ids: tuple[ListingId, ...], at: datetime | None = None
    ) -> list[CartEvent]:
        taken = tuple(listing_id for listing_id in listing_ids if listing_id in self.lines)
        if not taken:
            return []
        return [CartCheckedOut(cart_id=self.id, order_id=order_id, listing_ids=taken, at=at)]

    def abandon(self, at: datetime, patience: timedelta = ABANDONED_AFTER) -> list[CartEvent]:
        """Nothing unless nobody has touched it for so long: somebody may have since whoever asks has looked.

        One that does not know when it was touched was not since it would know.
        """
        if not self.holds_something or (self.touched_at is not None and at - self.touched_at < patience):
            return []
        return [CartAbandoned(cart_id=self.id, at=at)]

    @property
    def holds_something(self) -> bool:
        return bool(self.lines) or self.coupon is not None

    def apply_coupon(
        self, promotion_id: PromotionId, code: str, at: datetime | None = None
    ) -> list[CartEvent]:
        """One at a time: another one takes its place."""
        if self.coupon == HeldCoupon(promotion_id=promotion_id, code=code):
            return []
        return [CouponApplied(cart_id=self.id, promotion_id=promotion_id, code=code, at=at)]

    def remove_coupon(self, at: datetime | None = None) -> list[CartEvent]:
        return [] if self.coupon is None else [CouponRemoved(cart_id=self.id, at=at)]

    @classmethod
    def evolve(cls, cart: Cart | None, event: CartEvent) -> Cart:
        if isinstance(event, CartOpened):
            return cls(id=event.cart_id, account_id=event.account_id, lines={})
        assert cart is not None, "a cart's first event is CartOpened"
        touched_at = event.at or cart.touched_at
        match event:
            case CartItemAdded(listing_id=listing_id, quantity=quantity):
                whole = cart.lines.get(listing_id, 0) + quantity
                return _with_line(cart, listing_id, whole, event.price, touched_at)
            case CartItemQuantityChanged(listing_id=listing_id, quantity=quantity):
                return _with_line(cart, listing_id, quantity, event.price, touched_at)
            case CartItemRemoved(listing_id=listing_id):
                return _without(cart, (listing_id,), touched_at)
            case CartSynced(lines=lines):
                return replace(
                    cart,
                    lines={line.listing_id: line.quantity for line in lines},
                    shown={
                        line.listing_id: _seen(cart, line.listing_id, line.price, event.at) for line in lines
                    },
                    touched_at=touched_at,
                )
            case CartPricesAcknowledged(prices=prices):
                seen = {each.listing_id: _seen(cart, each.listing_id, each.price, None) for each in prices}
                return replace(cart, shown={**cart.shown, **seen}, touched_at=touched_at)
            case CartCheckedOut(listing_ids=listing_ids):
                return _without(cart, listing_ids, touched_at)
            case CartCleared() | CartAbandoned():
                return replace(cart, lines={}, shown={}, coupon=None, touched_at=touched_at)
            case CouponApplied(promotion_id=promotion_id, code=code):
                held = HeldCoupon(promotion_id=promotion_id, code=code)
                return replace(cart, coupon=held, touched_at=touched_at)
            case CouponRemoved():
                return replace(cart, coupon=None, touched_at=touched_at)
            case _:
                assert_never(event)


def bad_quantity(least: int) -> InvalidInputError:
    return InvalidInputError({"quantity": [f"Must be between {least} and {MOST_UNITS}"]})


def _with_line(
    cart: Cart, listing_id: ListingId, quantity: int, price: Money | None, at: datetime | None
) -> Cart:
    return replace(
        cart,
        lines={**cart.lines, listing_id: quantity},
        shown={**cart.shown, listing_id: _seen(cart, listing_id, price, at)},
        touched_at=at,
    )


def _seen(cart: Cart, listing_id: ListingId, price: Money | None, at: datetime | None) -> Shown:
    """A line is as old as it was, and where nobody says what it costs its owner knows what they knew."""
    before = cart.shown_of(listing_id)
    return Shown(
        price=before.price if price is None else price,
        added_at=before.added_at if listing_id in cart.lines else at,
    )


def _without(cart: Cart, gone: Iterable[ListingId], at: datetime | None) -> Cart:
    lines, shown = dict(cart.lines), dict(cart.shown)
    for listing_id in gone:
        lines.pop(listing_id, None)
        shown.pop(listing_id, None)
    return replace(cart, lines=lines, shown=shown, touched_at=at)


CARTS: Decider[Cart, CartEvent] = Decider("carts", Cart.evolve, snapshot=Cart)
