"""What can happen to a cart."""

from datetime import datetime
from typing import TypeAlias

import msgspec

from domain.kernel import AccountId, CartId, Event, ListingId, OrderId, PromotionId, stream_id
from domain.money import Money


def cart_of(account_id: AccountId) -> CartId:
    """The one cart that an account has (C-7)."""
    return CartId(stream_id("cart", str(account_id)))


class CartLine(msgspec.Struct, frozen=True, kw_only=True):
    """So many of a listing; ``price`` is what one of it was sold for when the cart's owner was last shown it."""

    listing_id: ListingId
    quantity: int
    price: Money | None = None


class ShownPrice(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    price: Money


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
    """Also where only the ``price`` is another one than its owner was shown before."""

    cart_id: CartId
    listing_id: ListingId
    quantity: int
    price: Money | None = None
    at: datetime | None = None


class CartItemRemoved(Event, frozen=True, kw_only=True, tag="cart_item_removed"):
    cart_id: CartId
    listing_id: ListingId
    at: datetime | None = None


class CartSynced(Event, frozen=True, kw_only=True, tag="cart_synced"):
    """``lines`` are all that is in it from now on, as a client has kept it or as two carts come to together."""

    cart_id: CartId
    lines: tuple[CartLine, ...]
    at: datetime


class CartCleared(Event, frozen=True, kw_only=True, tag="cart_cleared"):
    """Its owner emptied it; its coupon is gone with the rest."""

    cart_id: CartId
    at: datetime


class CartPricesAcknowledged(Event, frozen=True, kw_only=True, tag="cart_prices_acknowledged"):
    """Its owner has seen what these cost by now, which is not what they were shown before."""

    cart_id: CartId
    prices: tuple[ShownPrice, ...]
    at: datetime


class CartCheckedOut(Event, frozen=True, kw_only=True, tag="cart_checked_out"):
    """An order took these lines over; what else is in the cart stays."""

    cart_id: CartId
    order_id: OrderId
    listing_ids: tuple[ListingId, ...]
    at: datetime | None = None


class CartAbandoned(Event, frozen=True, kw_only=True, tag="cart_abandoned"):
    """Nobody has touched it for long: it is empty again, and has no coupon."""

    cart_id: CartId
    at: datetime


class CouponApplied(Event, frozen=True, kw_only=True, tag="coupon_applied"):
    """Instead of the one that was there before, if any."""

    cart_id: CartId
    promotion_id: PromotionId
    code: str
    at: datetime | None = None


class CouponRemoved(Event, frozen=True, kw_only=True, tag="coupon_removed"):
    cart_id: CartId
    at: datetime | None = None


CartEvent: TypeAlias = (
    CartOpened
    | CartItemAdded
    | CartItemQuantityChanged
    | CartItemRemoved
    | CartSynced
    | CartCleared
    | CartPricesAcknowledged
    | CartCheckedOut
    | CartAbandoned
    | CouponApplied
    | CouponRemoved
)
