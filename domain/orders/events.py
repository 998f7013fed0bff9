"""What can happen to an order."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec

from domain.kernel import (
    AccountId,
    CategoryId,
    Event,
    ListingId,
    OrderId,
    Personal,
    PersonalText,
    PromotionId,
    SellerId,
)
from domain.money import Money


class OrderStatus(StrEnum):
    """S2's five words, and no other (C33)."""

    PENDING = "pending"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class PaymentStatus(StrEnum):
    """How far an order's money is (C33)."""

    PENDING = "pending"
    PAID = "paid"
    FAILED = "failed"
    REFUNDED = "refunded"
    PARTIALLY_REFUNDED = "partially_refunded"


class CancelCause(StrEnum):
    """Who or what ended an order."""

    BUYER = "buyer"
    ADMIN = "admin"
    PAYMENT_TIMEOUT = "payment_timeout"


class PostalAddress(msgspec.Struct, frozen=True, kw_only=True):
    """S2 §9.1 ShippingAddress; street, city, postcode and country are always there (C20)."""

    first_name: str = ""
    last_name: str = ""
    address: str = ""
    city: str = ""
    state: str = ""
    zip_code: str = ""
    country: str = ""
    phone: str = ""


class OrderLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line as it was sold: ``total`` at list price, ``discounted_total`` with the product's own discount.

    ``promotion_discount`` is what it bears of the order's ``discount``. ``category`` is the slug that the product says
    it is in; ``category_path`` are all categories that it was in, those above included, as the tree was at that moment.
    """

    listing_id: ListingId
    number: int
    seller_id: SellerId
    title: str
    thumbnail: str
    price: Money
    discount_percentage: Decimal
    quantity: int
    total: Money
    discounted_total: Money
    promotion_discount: Money = Money(0)
    category: str = ""
    category_path: tuple[CategoryId, ...] = ()


class AppliedPromotion(msgspec.Struct, frozen=True, kw_only=True):
    """What took something off an order; ``code`` where it was a coupon."""

    promotion_id: PromotionId
    number: int
    name: str
    code: str = ""
    discount: Money
    free_shipping: bool = False


class OrderPlaced(Event, frozen=True, kw_only=True, tag="order_placed"):
    subject = "account_id"

    order_id: OrderId
    number: str
    account_id: AccountId
    account_number: int
    lines: tuple[OrderLine, ...]
    subtotal: Money
    tax: Money
    shipping: Money
    discount: Money = Money(0)
    promotions: tuple[AppliedPromotion, ...] = ()
    total: Money
    payment_method: str
    shipping_address: Annotated[PostalAddress, Personal(erased=PostalAddress())]
    billing_address: Annotated[PostalAddress | None, Personal(erased=None)] = None
    placed_at: datetime


class OrderPaymentLinked(Event, frozen=True, kw_only=True, tag="order_payment_linked"):
    order_id: OrderId
    intent_id: str


class OrderPaymentFailed(Event, frozen=True, kw_only=True, tag="order_payment_failed"):
    """The buyer may try again with another payment method."""

    order_id: OrderId
    intent_id: str
    code: str
    message: str


class OrderConfirmed(Event, frozen=True, kw_only=True, tag="order_confirmed"):
    """The money is there."""

    order_id: OrderId
    intent_id: str
    confirmed_at: datetime


class OrderCancelled(Event, frozen=True, kw_only=True, tag="order_cancelled"):
    """Recorded with its stock and its coupons given back. ``reason`` is in somebody's own words, if they said any.

    ``intent_id`` is the payment that must not be made any more: none where there is none, where it is closed already,
    and where it was made, which is asked back in the same append.
    """

    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    cause: CancelCause
    reason: PersonalText = ""
    intent_id: str = ""
    cancelled_at: datetime


class OrderRefunded(Event, frozen=True, kw_only=True, tag="order_refunded"):
    """The provider has sent ``amount`` back to the buyer."""

    order_id: OrderId
    intent_id: str
    refund_id: str
    amount: Money


OrderEvent: TypeAlias = (
    OrderPlaced | OrderPaymentLinked | OrderPaymentFailed | OrderConfirmed | OrderCancelled | OrderRefunded
)
