"""What can happen to a cart."""

from datetime import datetime
from typing import TypeAlias

from domain.kernel import AccountId, CartId, Event, ListingId, OrderId, PromotionId, stream_id
from domain.money import Money


def cart_of(account_id: AccountId) -> CartId:
    """The one cart that an account has (C-7)."""
    return CartId(stream_id("cart", str(account_id)))


class CartOpened(Event, frozen=True, kw_only=True, tag="cart_opened"):
    cart_id: CartId
    account_id: AccountId


class CartItemAdded(Event, frozen=True, kw_only=True, tag="cart_item_added"):
    """``price`` is what one of it was sold for then, which its owner was shown."""

    cart_id: CartId
    listing_id: ListingId
    quantity: int
    price: Money | None = None
    at: datetime | None = None


class CartItemQuantityChanged(Event, frozen=True, kw_only=True, tag="cart_item_quantity_changed"):
    cart_id: CartId
    listing_id: ListingId
    quantity: int
    price: Money | None = None
    at: datetime | None = None


class CartItemRemoved(Event, frozen=True, kw_only=True, tag="cart_item_removed"):
    cart_id: CartId
    listing_id: ListingId


class CartCheckedOut(Event, frozen=True, kw_only=True, tag="cart_checked_out"):
    """An order took these lines over; what else is in the cart stays."""

    cart_id: CartId
    order_id: OrderId
    listing_ids: tuple[ListingId, ...]


class CartAbandoned(Event, frozen=True, kw_only=True, tag="cart_abandoned"):
    """Nobody has touched it for long: it is empty again, and has no coupon."""

    cart_id: CartId
    at: datetime


class CouponApplied(Event, frozen=True, kw_only=True, tag="coupon_applied"):
    """Instead of the one that was there before, if any."""

    cart_id: CartId
    promotion_id: PromotionId
    code: str


class CouponRemoved(Event, frozen=True, kw_only=True, tag="coupon_removed"):
    cart_id: CartId


CartEvent: TypeAlias = (
    CartOpened
    | CartItemAdded
    | CartItemQuantityChanged
    | CartItemRemoved
    | CartCheckedOut
    | CartAbandoned
    | CouponApplied
    | CouponRemoved
)
