"""What can happen to a payment."""

from datetime import datetime
from typing import TypeAlias

from domain.kernel import AccountId, Event, OrderId, PaymentId, PersonalText
from domain.money import Money


class PaymentIntentCreated(Event, frozen=True, kw_only=True, tag="payment_intent_created"):
    """The provider is ready to take ``amount``; ``client_secret`` lets the buyer's client complete it.

    Without an order where the client asks for it first, and places its order with it (C35).
    """

    subject = "account_id"

    payment_id: PaymentId
    intent_id: str
    order_id: OrderId | None = None
    account_id: AccountId
    amount: Money
    client_secret: PersonalText
    created_at: datetime
    order_number: str = ""
    account_number: int = 0


class PaymentLinkedToOrder(Event, frozen=True, kw_only=True, tag="payment_linked_to_order"):
    """What was prepared before there was an order is that order's now, and no other's."""

    payment_id: PaymentId
    order_id: OrderId
    order_number: str = ""


class PaymentActionRequired(Event, frozen=True, kw_only=True, tag="payment_action_required"):
    """The buyer has to do something more, as to sign in at their bank; ``url`` is where, if it is somewhere.

    Whoever goes there acts as the payer: the provider's addresses have the client's secret in them.
    """

    subject = "account_id"

    payment_id: PaymentId
    url: PersonalText = ""
    account_id: AccountId | None = None


class PaymentProcessing(Event, frozen=True, kw_only=True, tag="payment_processing"):
    """It was confirmed, and the provider does not know yet what will become of it."""

    payment_id: PaymentId


class PaymentSucceeded(Event, frozen=True, kw_only=True, tag="payment_succeeded"):
    """``brand`` and ``last4`` are all that we ever know of a card (S2 §11.5).

    ``amount`` is what was taken, where that is not what we had asked for. ``account_id`` is the payer, whom payments
    of earlier days do not name.
    """

    subject = "account_id"

    payment_id: PaymentId
    brand: PersonalText = ""
    last4: PersonalText = ""
    amount: Money | None = None
    account_id: AccountId | None = None


class PaymentCardNoted(Event, frozen=True, kw_only=True, tag="payment_card_noted"):
    """What it was made with, where we were not told that when it was."""

    subject = "account_id"

    payment_id: PaymentId
    account_id: AccountId
    brand: PersonalText
    last4: PersonalText


class PaymentFailed(Event, frozen=True, kw_only=True, tag="payment_failed"):
    """``attempt`` is the provider's name for the try that failed, if it has one; the next may succeed."""

    payment_id: PaymentId
    code: str
    message: str
    attempt: str = ""


class PaymentIntentCancelled(Event, frozen=True, kw_only=True, tag="payment_intent_cancelled"):
    """The provider will not take this payment any more, whoever tries."""

    payment_id: PaymentId


class RefundRequested(Event, frozen=True, kw_only=True, tag="refund_requested"):
    """``amount`` is to go back to the buyer. ``reason`` is for the books: order_cancelled, order_returned, …

    ``note`` is why in somebody's own words, where somebody said so; ``account_id`` is then the payer.
    """

    subject = "account_id"

    payment_id: PaymentId
    refund_id: str
    amount: Money
    reason: str
    account_id: AccountId | None = None
    note: PersonalText = ""
    requested_at: datetime | None = None
    order_id: OrderId | None = None


class RefundSucceeded(Event, frozen=True, kw_only=True, tag="refund_succeeded"):
    """``provider_id`` is what the provider calls it."""

    payment_id: PaymentId
    refund_id: str
    provider_id: str


class RefundFailed(Event, frozen=True, kw_only=True, tag="refund_failed"):
    """The provider refuses, be it after it had said that it was sent. It is tried again; then somebody has to look."""

    payment_id: PaymentId
    refund_id: str
    code: str
    message: str


class RefundRetried(Event, frozen=True, kw_only=True, tag="refund_retried"):
    """One that failed is tried once more, under a name of its own: ``refund_id`` is that of the refund that failed.

    ``tries`` counts all tries to send this money, with this one.
    """

    payment_id: PaymentId
    refund_id: str
    retry_id: str
    amount: Money | None = None
    tries: int = 0
    order_id: OrderId | None = None


class RefundNoted(Event, frozen=True, kw_only=True, tag="refund_noted"):
    """Somebody sent money back at the provider itself, and not through us."""

    payment_id: PaymentId
    refund_id: str
    provider_id: str
    amount: Money


class PaymentDisputed(Event, frozen=True, kw_only=True, tag="payment_disputed"):
    """The payer's bank asks for ``amount`` back. ``status`` is in the provider's words: needs_response, won, lost, …"""

    payment_id: PaymentId
    dispute_id: str
    amount: Money
    reason: str = ""
    status: str


PaymentEvent: TypeAlias = (
    PaymentIntentCreated
    | PaymentLinkedToOrder
    | PaymentActionRequired
    | PaymentProcessing
    | PaymentSucceeded
    | PaymentCardNoted
    | PaymentFailed
    | PaymentIntentCancelled
    | RefundRequested
    | RefundSucceeded
    | RefundFailed
    | RefundRetried
    | RefundNoted
    | PaymentDisputed
)
