"""What can happen to an order."""

from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, TypeAlias
from uuid import UUID

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


class ParcelStatus(StrEnum):
    """How far what one seller sends is. It is ``processing`` as soon as it may be sent."""

    PENDING = "pending"
    PROCESSING = "processing"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


class TrackingStatus(StrEnum):
    """What a carrier says of a parcel (S2 §6.2.6, C-8)."""

    PENDING = "pending"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    DELIVERED = "delivered"
    EXCEPTION = "exception"


class ReturnStatus(StrEnum):
    """How far a return is; ``none`` is the order's word where there is none (C33)."""

    NONE = "none"
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    RECEIVED = "received"
    REFUNDED = "refunded"


class NoteVisibility(StrEnum):
    """Who reads a note: everybody who may see the order, or admins alone."""

    EVERYBODY = "everybody"
    INTERNAL = "internal"


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
    shipping_profile_id: UUID | None = None


class PlacedParcel(msgspec.Struct, frozen=True, kw_only=True):
    """What one seller sends, and what of the order's ``shipping`` that is.

    Parcels are numbered from 1 on, in the order in which their sellers stand among the lines.
    """

    seller_id: SellerId
    shipping: Money = Money(0)


class TaxLine(msgspec.Struct, frozen=True, kw_only=True):
    """A tax as an invoice tells it: ``amount`` is ``rate`` of ``base``. ``rate`` is a share: 0.08."""

    name: str = "Tax"
    rate: Decimal
    base: Money
    amount: Money


class ReturnedLine(msgspec.Struct, frozen=True, kw_only=True):
    """So many units of what was sold. The rest is what the order knows of it, for whoever does not know the order."""

    listing_id: ListingId
    quantity: int
    number: int = 0
    title: str = ""
    seller_id: SellerId | None = None


class AppliedPromotion(msgspec.Struct, frozen=True, kw_only=True):
    """What took something off an order; ``code`` where it was a coupon."""

    promotion_id: PromotionId
    number: int
    name: str
    code: str = ""
    discount: Money
    free_shipping: bool = False


class OrderPlaced(Event, frozen=True, kw_only=True, tag="order_placed"):
    """Its stock is reserved in the same append. Orders of earlier days name neither parcels nor taxes."""

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
    shipping_method: str = "standard"
    parcels: tuple[PlacedParcel, ...] = ()
    taxes: tuple[TaxLine, ...] = ()


class OrderPaymentLinked(Event, frozen=True, kw_only=True, tag="order_payment_linked"):
    """It is to be paid by this intent; a later one takes the place of one that was closed."""

    order_id: OrderId
    intent_id: str


class OrderPaymentClosed(Event, frozen=True, kw_only=True, tag="order_payment_closed"):
    """The provider will not take the payment that was prepared, though the order stands: it needs another one."""

    order_id: OrderId
    intent_id: str


class OrderPaymentFailed(Event, frozen=True, kw_only=True, tag="order_payment_failed"):
    """The buyer may try again with another payment method; ``repeated`` if so they did, and it failed again."""

    order_id: OrderId
    intent_id: str
    code: str
    message: str
    account_id: AccountId | None = None
    repeated: bool = False


class OrderConfirmed(Event, frozen=True, kw_only=True, tag="order_confirmed"):
    """The money is there."""

    order_id: OrderId
    intent_id: str
    confirmed_at: datetime
    account_id: AccountId | None = None


class OrderProcessingStarted(Event, frozen=True, kw_only=True, tag="order_processing_started"):
    """An admin has it sent before its money is there, on account say. Its stock is committed in the same append."""

    order_id: OrderId
    account_id: AccountId
    started_at: datetime


class ParcelShipped(Event, frozen=True, kw_only=True, tag="parcel_shipped"):
    """It is on its way. ``tracking_url`` may be empty, as all that is not known.

    By what its label says a carrier tells anybody to whom it goes, and where that is.
    """

    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    parcel: int
    seller_id: SellerId
    carrier: PersonalText = ""
    tracking_number: PersonalText = ""
    tracking_url: PersonalText = ""
    estimated_delivery: date | None = None
    shipped_at: datetime


class ParcelTrackingChanged(Event, frozen=True, kw_only=True, tag="parcel_tracking_changed"):
    """What its label says, before it is sent or after: a number that was mistyped, say. All of it, as it is now."""

    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    parcel: int
    carrier: PersonalText = ""
    tracking_number: PersonalText = ""
    tracking_url: PersonalText = ""
    estimated_delivery: date | None = None


class TrackingUpdated(Event, frozen=True, kw_only=True, tag="tracking_updated"):
    """What the carrier, or somebody for it, says of a parcel; ``occurred_at`` is when that happened.

    Carriers tell where they left it, and with whom.
    """

    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    parcel: int
    status: TrackingStatus
    location: PersonalText = ""
    description: PersonalText = ""
    occurred_at: datetime


class ParcelDelivered(Event, frozen=True, kw_only=True, tag="parcel_delivered"):
    order_id: OrderId
    account_id: AccountId
    parcel: int
    seller_id: SellerId
    delivered_at: datetime


class OrderNoteAdded(Event, frozen=True, kw_only=True, tag="order_note_added"):
    """By the buyer or an admin; ``author`` is the public number of whose account it was."""

    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    note_id: UUID
    author: int
    by_admin: bool = False
    note: PersonalText
    visibility: NoteVisibility = NoteVisibility.EVERYBODY
    created_at: datetime


class OrderReturnRequested(Event, frozen=True, kw_only=True, tag="order_return_requested"):
    """The buyer wants to send goods back. ``reason`` is in their own words; ``number`` is the order's."""

    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    return_id: UUID
    lines: tuple[ReturnedLine, ...]
    reason: PersonalText = ""
    requested_at: datetime
    number: str = ""


class OrderReturnApproved(Event, frozen=True, kw_only=True, tag="order_return_approved"):
    """The buyer may send them."""

    order_id: OrderId
    account_id: AccountId
    return_id: UUID
    approved_at: datetime


class OrderReturnRejected(Event, frozen=True, kw_only=True, tag="order_return_rejected"):
    subject = "account_id"

    order_id: OrderId
    account_id: AccountId
    return_id: UUID
    reason: PersonalText = ""
    rejected_at: datetime


class OrderReturnReceived(Event, frozen=True, kw_only=True, tag="order_return_received"):
    """The goods are back: in the stock too if ``restocked``, and ``refund`` is asked back, all in one append.

    ``refund_id`` is the name of that refund; empty where nothing goes back, be it that nothing was paid.
    """

    order_id: OrderId
    account_id: AccountId
    return_id: UUID
    restocked: bool
    refund: Money
    refund_id: str = ""
    received_at: datetime


class OrderDisputed(Event, frozen=True, kw_only=True, tag="order_disputed"):
    """The buyer's bank asks for the money back, or has come to an end of it. ``status`` is in the provider's words."""

    order_id: OrderId
    intent_id: str
    dispute_id: str
    amount: Money
    reason: str = ""
    status: str


class InvoiceIssued(Event, frozen=True, kw_only=True, tag="invoice_issued"):
    """``number`` is one of a series without holes. What the invoice says is what the order says."""

    order_id: OrderId
    number: str
    issued_at: datetime


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
    """The provider has sent ``amount`` back to the buyer; for what came back by ``return_id``, if it is for that."""

    order_id: OrderId
    intent_id: str
    refund_id: str
    amount: Money
    account_id: AccountId | None = None
    return_id: UUID | None = None


class OrderRefundFailed(Event, frozen=True, kw_only=True, tag="order_refund_failed"):
    """``amount`` was told to be sent back, and did not arrive after all: the money is with us again."""

    order_id: OrderId
    account_id: AccountId
    intent_id: str
    refund_id: str
    amount: Money
    return_id: UUID | None = None


class InvoiceNumberGiven(Event, frozen=True, kw_only=True, tag="invoice_number_given"):
    """The next number of a year's invoices is this order's; recorded with its ``InvoiceIssued``, or not at all."""

    year: int
    serial: int
    order_id: OrderId


OrderEvent: TypeAlias = (
    OrderPlaced
    | OrderPaymentLinked
    | OrderPaymentClosed
    | OrderPaymentFailed
    | OrderConfirmed
    | OrderProcessingStarted
    | ParcelShipped
    | ParcelTrackingChanged
    | TrackingUpdated
    | ParcelDelivered
    | OrderNoteAdded
    | OrderReturnRequested
    | OrderReturnApproved
    | OrderReturnRejected
    | OrderReturnReceived
    | OrderDisputed
    | InvoiceIssued
    | OrderCancelled
    | OrderRefunded
    | OrderRefundFailed
)

InvoiceNumberEvent: TypeAlias = InvoiceNumberGiven
