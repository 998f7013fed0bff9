"""A cart: what somebody means to buy. It knows quantities; prices are the catalogue's, at every look."""

from __future__ import annotations

from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.carts.events import (
    CartAbandoned,
    CartCheckedOut,
    CartEvent,
    CartItemAdded,
    CartItemQuantityChanged,
    CartItemRemoved,
    CartOpened,
    CouponApplied,
    CouponRemoved,
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

MOST_UNITS = 999
MOST_LINES = 100


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


class Cart(msgspec.Struct, frozen=True, kw_only=True):
    """``lines`` maps each listing to its quantity, in the order in which they were added."""

    id: CartId
    account_id: AccountId
    lines: dict[ListingId, int]
    coupon: HeldCoupon | None = None

    @classmethod
    def open(cls, cart_id: CartId, account_id: AccountId) -> tuple[Cart, list[CartEvent]]:
        opened = CartOpened(cart_id=cart_id, account_id=account_id)
        return cls.evolve(None, opened), [opened]

    def add(self, listing_id: ListingId, quantity: int) -> list[CartEvent]:
        wanted = self.lines.get(listing_id, 0) + quantity
        if quantity < 1 or wanted > MOST_UNITS:
            raise _bad_quantity(1)
        if listing_id not in self.lines and len(self.lines) >= MOST_LINES:
            raise CartFullError(f"A cart holds at most {MOST_LINES} different products")
        return [CartItemAdded(cart_id=self.id, listing_id=listing_id, quantity=quantity)]

    def change_quantity(self, listing_id: ListingId, quantity: int) -> list[CartEvent]:
        """Set a line's quantity; 0 removes the line (C29)."""
        if not 0 <= quantity <= MOST_UNITS:
            raise _bad_quantity(0)
        if listing_id not in self.lines:
            raise CartItemNotFoundError("This product is not in the cart")
        if quantity == 0:
            return [CartItemRemoved(cart_id=self.id, listing_id=listing_id)]
        if quantity == self.lines[listing_id]:
            return []
        return [CartItemQuantityChanged(cart_id=self.id, listing_id=listing_id, quantity=quantity)]

    def check_out(self, order_id: OrderId, listing_ids: tuple[ListingId, ...]) -> list[CartEvent]:
        taken = tuple(listing_id for listing_id in listing_ids if listing_id in self.lines)
        return [CartCheckedOut(cart_id=self.id, order_id=order_id, listing_ids=taken)] if taken else []

    def apply_coupon(self, promotion_id: PromotionId, code: str) -> list[CartEvent]:
        """One at a time: another one takes its place."""
        if self.coupon == HeldCoupon(promotion_id=promotion_id, code=code):
            return []
        return [CouponApplied(cart_id=self.id, promotion_id=promotion_id, code=code)]

    def remove_coupon(self) -> list[CartEvent]:
        return [] if self.coupon is None else [CouponRemoved(cart_id=self.id)]

    @classmethod
    def evolve(cls, cart: Cart | None, event: CartEvent) -> Cart:
        if isinstance(event, CartOpened):
            return cls(id=event.cart_id, account_id=event.account_id, lines={})
        assert cart is not None, "a cart's first event is CartOpened"
        match event:
            case CartItemAdded(listing_id=listing_id, quantity=quantity):
                return replace(
                    cart, lines={**cart.lines, listing_id: cart.lines.get(listing_id, 0) + quantity}
                )
            case CartItemQuantityChanged(listing_id=listing_id, quantity=quantity):
                return replace(cart, lines={**cart.lines, listing_id: quantity})
            case CartItemRemoved(listing_id=listing_id):
                return replace(cart, lines=_without(cart.lines, (listing_id,)))
            case CartCheckedOut(listing_ids=listing_ids):
                return replace(cart, lines=_without(cart.lines, listing_ids))
            case CartAbandoned():
                return replace(cart, lines={}, coupon=None)
            case CouponApplied(promotion_id=promotion_id, code=code):
                return replace(cart, coupon=HeldCoupon(promotion_id=promotion_id, code=code))
            case CouponRemoved():
                return replace(cart, coupon=None)
            case _:
                assert_never(event)


def _bad_quantity(least: int) -> InvalidInputError:
    return InvalidInputError({"quantity": [f"Must be between {least} and {MOST_UNITS}"]})


def _without(lines: dict[ListingId, int], gone: tuple[ListingId, ...]) -> dict[ListingId, int]:
    return {listing_id: quantity for listing_id, quantity in lines.items() if listing_id not in gone}


CARTS: Decider[Cart, CartEvent] = Decider("carts", Cart.evolve, snapshot=Cart)
