"""What can happen to a payment."""

from datetime import datetime
from typing import TypeAlias

from domain.kernel import AccountId, Event, OrderId, PaymentId, PersonalText
from domain.money import Money


class PaymentIntentCreated(Event, frozen=True, kw_only=True, tag="payment_intent_created"):
    """The provider is ready to take ``amount``; ``client_secret`` lets the buyer's client complete it."""

    subject = "account_id"

    payment_id: PaymentId
    intent_id: str
    order_id: OrderId
    account_id: AccountId
    amount: Money
    client_secret: PersonalText
    created_at: datetime


class PaymentSucceeded(Event, frozen=True, kw_only=True, tag="payment_succeeded"):
    """``brand`` and ``last4`` are all that we ever know of a card (S2 §11.5)."""

    payment_id: PaymentId
    brand: str = ""
    last4: str = ""


class PaymentFailed(Event, frozen=True, kw_only=True, tag="payment_failed"):
    payment_id: PaymentId
    code: str
    message: str


class PaymentIntentCancelled(Event, frozen=True, kw_only=True, tag="payment_intent_cancelled"):
    """The provider will not take this payment any more, whoever tries."""

    payment_id: PaymentId


class RefundRequested(Event, frozen=True, kw_only=True, tag="refund_requested"):
    """``amount`` is to go back to the buyer. ``reason`` is for the books: order_cancelled, …"""

    payment_id: PaymentId
    refund_id: str
    amount: Money
    reason: str


class RefundSucceeded(Event, frozen=True, kw_only=True, tag="refund_succeeded"):
    """``provider_id`` is what the provider calls it."""

    payment_id: PaymentId
    refund_id: str
    provider_id: str


class RefundFailed(Event, frozen=True, kw_only=True, tag="refund_failed"):
    """The provider refuses; somebody has to look after it."""

    payment_id: PaymentId
    refund_id: str
    code: str
    message: str


PaymentEvent: TypeAlias = (
    PaymentIntentCreated
    | PaymentSucceeded
    | PaymentFailed
    | PaymentIntentCancelled
    | RefundRequested
    | RefundSucceeded
    | RefundFailed
)
