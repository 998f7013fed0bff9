"""Money that goes back without goods coming back, and what is done where it did not arrive."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from application.orders.references import known_order
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.kernel import OrderId, PaymentId, stream_id
from domain.money import Money
from domain.orders.order import ORDERS, Order
from domain.payments.payment import (
    PAYMENTS,
    NothingPaidError,
    Payment,
    PaymentNotFoundError,
    PaymentState,
    RefundNotFoundError,
    RefundState,
    RefundTooLargeError,
)

BY_ADMIN: Final = "by_admin"

MOST_TRIES: Final = 24
"""How often money is tried to be sent back before somebody has to look after it."""


class RefundOrder(msgspec.Struct, frozen=True, kw_only=True):
    """By an admin. Without ``amount`` it is all that is left of the payment; ``reason`` is in their own words."""

    order_id: OrderId
    reason: str
    amount: Money | None = None


class RetryRefund(msgspec.Struct, frozen=True, kw_only=True):
    """By an admin, as often as they like: a refund that failed, once more."""

    order_id: OrderId
    refund_id: str


class RetryRefundOfPayment(msgspec.Struct, frozen=True, kw_only=True):
    """By an admin, also where there is no order: money for none, or that was asked back before there was one."""

    intent_id: str
    refund_id: str


class RetryFailedRefund(msgspec.Struct, frozen=True, kw_only=True):
    """By time. Nothing happens to one that is tried again already, was often enough, or whose money went otherwise."""

    payment_id: PaymentId
    refund_id: str


class Refunded(msgspec.Struct, frozen=True, kw_only=True):
    """A payment, and which refund of it was asked about."""

    payment: Payment
    refund_id: str


async def refund_order(
    command: RefundOrder, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Refunded]:
    """It is asked back here; the provider is told afterwards, by who reacts to it."""
    order = known_order((await store.load(ORDERS, command.order_id)).state)
    if not order.paid:
        raise NothingPaidError("The order is not paid")
    if not order.paying_intent:
        raise RefundTooLargeError("There was nothing to pay for this order", details={"refundable": 0})
    ref = _payment_ref(order.paying_intent)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Refunded]:
        payment: Payment | None = loaded[0].state
        if payment is None or payment.status is not PaymentState.SUCCEEDED:
            raise NothingPaidError("The order is not paid")
        amount = payment.refundable if command.amount is None else command.amount
        if not amount.minor:
            raise RefundTooLargeError("Nothing is left of the payment", details={"refundable": 0})
        events = payment.request_refund(amount, BY_ADMIN, note=command.reason, at=clock.now())
        return _asked(ref, payment, events)

    return await store.change_together([ref], decide, metadata)


async def retry_refund(command: RetryRefund, metadata: Metadata, *, store: EventStore) -> Changed[Refunded]:
    order = known_order((await store.load(ORDERS, command.order_id)).state)
    payments = await payments_of(order, store)
    found = next((each for each in payments if command.refund_id in each.refunds), None)
    if found is None:
        raise RefundNotFoundError("Refund not found")
    return await _retried(_payment_ref(found.intent_id), command.refund_id, metadata, store)


async def retry_refund_of_payment(
    command: RetryRefundOfPayment, metadata: Metadata, *, store: EventStore
) -> Changed[Refunded]:
    ref = _payment_ref(command.intent_id)
    if (await store.load(PAYMENTS, ref.id)).state is None:
        raise PaymentNotFoundError("Payment not found")
    return await _retried(ref, command.refund_id, metadata, store)


async def retry_failed_refund(
    command: RetryFailedRefund, metadata: Metadata, *, store: EventStore
) -> Changed[Refunded]:
    loaded = await store.load(PAYMENTS, command.payment_id)
    if loaded.state is None:
        raise PaymentNotFoundError("Payment not found")
    payment: Payment = loaded.state
    refund = payment.refund(command.refund_id)
    unchanged = Changed(state=Refunded(payment=payment, refund_id=command.refund_id), version=loaded.version)
    gone = refund.amount > payment.refundable
    if refund.status is not RefundState.FAILED or gone or payment.tries(command.refund_id) >= MOST_TRIES:
        return unchanged
    return await _retried(StreamRef(PAYMENTS, payment.id), command.refund_id, metadata, store)


async def payments_of(order: Order, store: EventStore) -> list[Payment]:
    """All that were ever prepared for it, the one that counts first."""
    if not order.intents:
        return []
    loaded = await store.load_many([_payment_ref(intent_id) for intent_id in order.intents])
    return [each.state for each in loaded if each.state is not None]


async def _retried(
    ref: StreamRef[Any, Any], refund_id: str, metadata: Metadata, store: EventStore
) -> Changed[Refunded]:
    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Refunded]:
        payment: Payment = loaded[0].present
        events = payment.retry_refund(refund_id)
        after = PAYMENTS.fold(payment, events)
        assert after is not None
        outcome = Refunded(payment=after, refund_id=after.retried(refund_id))
        return Proposal(outcome=outcome, events=[(ref, events)])

    return await store.change_together([ref], decide, metadata)


def _asked(ref: StreamRef[Any, Any], payment: Payment, events: Sequence[Any]) -> Proposal[Refunded]:
    after = PAYMENTS.fold(payment, events)
    assert after is not None
    return Proposal(
        outcome=Refunded(payment=after, refund_id=list(after.refunds)[-1]), events=[(ref, events)]
    )


def _payment_ref(intent_id: str) -> StreamRef[Any, Any]:
    return StreamRef(PAYMENTS, stream_id("payment", intent_id))
