"""What is done at the provider once an order is cancelled: its payment closed, or sent back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    StreamRef,
)
from domain import paying
from domain.kernel import PaymentId
from domain.orders.order import ORDERS, Order
from domain.payments.payment import PAYMENTS, Payment, PaymentFailedError, PaymentNotFoundError, RefundState


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
    command: SendRefund, metadata: Metadata, *, store: EventStore, payments: PaymentProvider
) -> Changed[Payment]:
    """The order is told in the same append. What the provider refuses is recorded too, for somebody to look after."""
    loaded = await store.load(PAYMENTS, command.payment_id)
    payment: Payment = _known(loaded.state)
    refund = payment.refunds.get(command.refund_id)
    if refund is None:
        raise PaymentNotFoundError("Refund not found")
    if refund.status is not RefundState.REQUESTED:
        return Changed(state=payment, version=loaded.version)
    refusal: PaymentFailedError | None = None
    sent = ""
    try:
        answer = await payments.refund(
            payment.intent_id,
            refund.amount.minor,
            idempotency_key=f"refund-{command.refund_id}",
            metadata={"refundId": command.refund_id},
        )
    except PaymentFailedError as refused:
        refusal = refused
    else:
        if answer.status in {"failed", "canceled"}:
            refusal = PaymentFailedError("The refund failed", details={"code": answer.status})
        elif answer.status != "succeeded":
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


def _known(payment: Payment | None) -> Payment:
    if payment is None:
        raise PaymentNotFoundError("Payment not found")
    return payment
