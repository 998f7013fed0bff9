"""What is done at the provider once an order is cancelled: its payment closed, or sent back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from application.payments.paying import record_payment_result, result_of
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Loaded,
    Metadata,
    PaymentProvider,
    Proposal,
    ProviderRefund,
    StreamRef,
)
from domain import paying
from domain.kernel import PaymentId
from domain.orders.order import ORDERS, Order
from domain.payments.payment import PAYMENTS, Payment, PaymentFailedError, PaymentNotFoundError, RefundState

KEYS_STAND: Final = timedelta(hours=12)
"""So long the provider surely knows a key again. Stripe says 24 hours, and clocks go differently."""

_FAILED: Final = frozenset({"failed", "canceled"})
"""The provider's words for refunds by which no money went, or all of it came back."""


class ClosePayment(msgspec.Struct, frozen=True, kw_only=True):
    """The order is cancelled: nobody is to pay for it any more."""

    intent_id: str


class SendRefund(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked back is to be sent. Asked twice, it is the same refund."""

    payment_id: PaymentId
    refund_id: str


async def close_payment(
    command: ClosePayment, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Payment | None]:
    """Where the payment was made just before, that is recorded, and with it that it goes back."""
    told = result_of(await payments.cancel_intent(command.intent_id))
    if told is None:
        return Changed(state=None, version=0)
    return await record_payment_result(told, metadata, store=store, clock=clock)


async def send_refund(
    command: SendRefund, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Payment]:
    """The order is told in the same append. What the provider refuses is recorded too, for somebody to look after.

    It may have been sent before, and we died before that was recorded. For as long as its key stands, the provider
    knows it again by that; afterwards it is asked first, for it would send it once more.
    """
    loaded = await store.load(PAYMENTS, command.payment_id)
    payment: Payment = _known(loaded.state)
    refund = payment.refunds.get(command.refund_id)
    if refund is None:
        raise PaymentNotFoundError("Refund not found")
    if refund.status is not RefundState.REQUESTED:
        return Changed(state=payment, version=loaded.version)
    refusal: PaymentFailedError | None = None
    sent = ""
    # Nobody can have sent it before it was asked for, which is what causes this.
    asked_at = metadata.caused_at
    key_stands = asked_at is not None and clock.now() - asked_at < KEYS_STAND
    try:
        answer = await _sent(payment, command.refund_id, payments, key_stands=key_stands)
    except PaymentFailedError as refused:
        refusal = refused
    else:
        if answer.status != "succeeded":
            # It is on its way: the provider will tell what has become of it, or is asked.
            return Changed(state=payment, version=loaded.version)
        sent = answer.id
    refs: list[StreamRef[Any, Any]] = [StreamRef(PAYMENTS, payment.id)]
    if payment.order_id is not None:
        refs.append(StreamRef(ORDERS, payment.order_id))

    def decide(found: Sequence[Loaded[Any]]) -> Proposal[Payment]:
        current: Payment = found[0].present
        of_order: Order | None = found[1].state if len(found) > 1 else None
        if refusal is not None:
            code = str(refusal.details.get("code", ""))
            told = paying.refund_failed(current, of_order, command.refund_id, code, refusal.message)
        else:
            told = paying.refund_sent(current, of_order, command.refund_id, sent)
        after = PAYMENTS.fold(current, told.payment)
        assert after is not None
        return Proposal(outcome=after, events=list(zip(refs, (told.payment, told.order), strict=False)))

    return await store.change_together(refs, decide, metadata)


async def _sent(
    payment: Payment, refund_id: str, payments: PaymentProvider, *, key_stands: bool
) -> ProviderRefund:
    """As the provider has it; ``PaymentFailedError`` where it refuses, or could not send it."""
    answer = None if key_stands else await _sent_before(payment.intent_id, refund_id, payments)
    if answer is None:
        answer = await payments.refund(
            payment.intent_id,
            payment.refunds[refund_id].amount.minor,
            idempotency_key=f"refund-{refund_id}",
            metadata={"refundId": refund_id},
        )
    if answer.status in _FAILED:
        code = answer.failure_code or answer.status
        raise PaymentFailedError("The refund failed", details={"code": code})
    return answer


async def _sent_before(intent_id: str, refund_id: str, payments: PaymentProvider) -> ProviderRefund | None:
    """By our name for it. Should there be several, one whose money went, or is on its way, before one that failed."""
    try:
        sent = await payments.refunds(intent_id)
    except PaymentNotFoundError:
        # Whoever tries to send it is told so, and that is recorded.
        return None
    ours = [each for each in sent if each.metadata.get("refundId") == refund_id]
    return min(ours, key=lambda each: (each.status in _FAILED, each.status != "succeeded"), default=None)


def _known(payment: Payment | None) -> Payment:
    if payment is None:
        raise PaymentNotFoundError("Payment not found")
    return payment
