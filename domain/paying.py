"""Paying: one decision over a payment and its order, whatever the provider says, in whatever order and number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from domain.cancelling import FOR_CANCELLATION
from domain.money import Money
from domain.orders.events import OrderEvent
from domain.orders.order import Order, PaymentAmountMismatchError
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment, PaymentFailedError, RefundState
from domain.returning import FOR_RETURN

NOT_OWED: Final = "not_owed"
NO_ORDER: Final = "no_order"


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded, all of it or nothing; ``commits`` says that the order's units leave the stock for good."""

    payment: Sequence[PaymentEvent] = ()
    order: Sequence[OrderEvent] = ()
    commits: bool = False


def is_owed(order: Order, intent_id: str, amount: Money) -> bool:
    """Whether this is what the order waits for, or what it was paid by: its whole total, and by no other intent."""
    return order.intent_id in ("", intent_id) and amount == order.total


def succeeded(
    payment: Payment, order: Order | None, *, taken: Money, brand: str, last4: str, at: datetime
) -> Settled:
    """The money is there. What the order does not owe, or not any more, is asked back in the same breath."""
    made = payment.succeed(brand, last4, taken)
    if order is None or not made:
        return Settled(payment=made)
    paid = PAYMENTS.after(payment, made)
    if not is_owed(order, payment.intent_id, taken):
        back = paid.request_refund(paid.refundable, NOT_OWED)
        return Settled(payment=[*made, *back], order=order.close_payment(payment.intent_id))
    linked = order.link_payment(payment.intent_id, taken)
    if order.cancelled:
        back = paid.request_refund(paid.refundable, FOR_CANCELLATION)
        return Settled(payment=[*made, *back], order=linked)
    confirmed = order.confirm(payment.intent_id, at)
    back = _for_returns(paid, order, at) if confirmed else []
    return Settled(
        payment=[*made, *back],
        order=[*linked, *confirmed],
        commits=bool(confirmed) and not order.committed,
    )


def failed(payment: Payment, order: Order | None, *, code: str, message: str, attempt: str) -> Settled:
    """The buyer may try again; of each try the order hears once."""
    told = payment.fail(code, message, attempt)
    if order is None or not told:
        return Settled(payment=told)
    return Settled(payment=told, order=order.fail_payment(payment.intent_id, code, message))


def closed(payment: Payment, order: Order | None) -> Settled:
    """The provider will not take it any more, and so an order that still waits needs another one."""
    told = payment.cancel()
    if order is None or not told:
        return Settled(payment=told)
    return Settled(payment=told, order=order.close_payment(payment.intent_id))


def linked(payment: Payment, order: Order, at: datetime) -> Settled:
    """The buyer pays with what was prepared before (C35). If that is made already, the order is paid at once.

    ``PaymentAmountMismatchError`` unless it is the buyer's own, no other order's, and exactly the total.
    """
    if payment.account_id != order.account_id:
        raise not_usable("Must be a payment of yours")
    if payment.order_id not in (None, order.id):
        raise not_usable("Must not be another order's")
    order.require_amount(payment.amount)
    # Also one that could not be sent back yet: it is tried again, whatever was bought with it.
    if payment.cancelled or (payment.made and (payment.refunds or payment.refundable != payment.amount)):
        raise PaymentFailedError(
            "This payment cannot be used any more", details={"paymentIntentId": ["Is closed, or sent back"]}
        )
    of_payment = payment.link(order.id, order.number)
    of_order = order.link_payment(payment.intent_id, payment.amount)
    if not payment.made:
        return Settled(payment=of_payment, order=of_order)
    confirmed = order.confirm(payment.intent_id, at)
    back = _for_returns(payment, order, at) if confirmed else []
    return Settled(
        payment=[*of_payment, *back],
        order=[*of_order, *confirmed],
        commits=bool(confirmed) and not order.committed,
    )


def sent_back(
    payment: Payment,
    order: Order | None,
    *,
    refund_id: str,
    provider_id: str,
    amount: Money,
    status: str,
    code: str = "",
) -> Settled:
    """What the provider says of a refund. One that is on its way is told of again; ours go by our own names.

    Of somebody else's, made at the provider itself, only what has come to pass is noted.
    """
    ours = refund_id if refund_id in payment.refunds else _called_there(payment, provider_id)
    if status == "succeeded" and ours:
        return refund_sent(payment, order, ours, provider_id)
    if status == "succeeded":
        noted = payment.note_refund(provider_id, amount)
        if order is None or not noted:
            return Settled(payment=noted)
        name = _called_there(PAYMENTS.after(payment, noted), provider_id)
        return Settled(payment=noted, order=order.refund(payment.intent_id, name, amount))
    if ours and status in {"failed", "canceled"}:
        return refund_failed(payment, order, ours, code or status, "The provider could not send it")
    return Settled()


def refund_sent(payment: Payment, order: Order | None, refund_id: str, provider_id: str) -> Settled:
    """The money is on its way to the buyer. The order knows a refund by the name of its first try."""
    events = payment.settle_refund(refund_id, provider_id)
    if not events or order is None:
        return Settled(payment=events)
    amount = payment.refunds[refund_id].amount
    return Settled(
        payment=events, order=order.refund(payment.intent_id, payment.first_try(refund_id), amount)
    )


def refund_failed(payment: Payment, order: Order | None, refund_id: str, code: str, message: str) -> Settled:
    """It did not arrive. An order hears of that only where it was told that it had been sent."""
    refund = payment.refunds[refund_id]
    events = payment.fail_refund(refund_id, code, message)
    if not events or order is None or refund.status is not RefundState.SUCCEEDED:
        return Settled(payment=events)
    return Settled(
        payment=events,
        order=order.fail_refund(payment.intent_id, payment.first_try(refund_id), refund.amount),
    )


def disputed(
    payment: Payment, order: Order | None, *, dispute_id: str, amount: Money, reason: str, status: str
) -> Settled:
    events = payment.dispute(dispute_id, amount, reason, status)
    if order is None or not events:
        return Settled(payment=events)
    told = order.dispute(payment.intent_id, dispute_id, amount, reason, status)
    return Settled(payment=events, order=told)


def not_usable(reason: str) -> PaymentAmountMismatchError:
    """One code for all that is wrong with a payment that is named (C35)."""
    return PaymentAmountMismatchError(
        "The order cannot be paid by this payment", details={"paymentIntentId": [reason]}
    )


def _for_returns(payment: Payment, order: Order, at: datetime) -> list[PaymentEvent]:
    """What is paid only after it was sent may be for goods that have come back since."""
    worth = min(order.worth_of_arrived, payment.refundable)
    return payment.request_refund(worth, FOR_RETURN, at=at) if worth.minor else []


def _called_there(payment: Payment, provider_id: str) -> str:
    """Our name for what the provider calls so; nothing where we know of no such refund."""
    return next((name for name, refund in payment.refunds.items() if refund.provider_id == provider_id), "")
