"""Comparing a payment with the provider's own books: what a lost message has left is repaired."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from application.payments.noting import RecordDispute, RecordRefunds, record_dispute, record_refunds
from application.payments.paying import result_of, settle
from application.ports import Changed, Clock, EventStore, Metadata, PaymentProvider
from domain.kernel import stream_id
from domain.paying import NO_ORDER
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment, PaymentNotFoundError


class ReconcilePayment(msgspec.Struct, frozen=True, kw_only=True):
    """Asked as often as anybody likes: where we know what the provider knows, nothing happens."""

    intent_id: str


async def reconcile_payment(
    command: ReconcilePayment,
    metadata: Metadata,
    *,
    store: EventStore,
    payments: PaymentProvider,
    clock: Clock,
    patience: timedelta,
) -> Changed[Payment]:
    """Also a payment that no order was placed with is brought to its end: it is closed, or goes back."""
    payment = await _known(command.intent_id, store)
    if not payment.over:
        intent = await payments.intent(command.intent_id)
        if _forsaken(payment, clock, patience) and intent.status not in {"succeeded", "processing"}:
            intent = await payments.cancel_intent(command.intent_id)
        told = result_of(intent)
        if told is not None:
            await settle(told, metadata, lambda settled, _: settled, store=store, clock=clock)
            payment = await _known(command.intent_id, store)
    if payment.made:
        recorded = RecordRefunds(intent_id=command.intent_id)
        await record_refunds(recorded, metadata, store=store, payments=payments, clock=clock)
        for dispute in await payments.disputes(command.intent_id):
            await record_dispute(RecordDispute(dispute=dispute), metadata, store=store)

    def decide(current: Payment | None) -> Sequence[PaymentEvent]:
        assert current is not None, "it was seen before"
        if not _forsaken(current, clock, patience) or not current.refundable.minor:
            return []
        return current.request_refund(current.refundable, NO_ORDER)

    return await store.change(PAYMENTS, payment.id, decide, metadata)


async def _known(intent_id: str, store: EventStore) -> Payment:
    payment: Payment | None = (await store.load(PAYMENTS, stream_id("payment", intent_id))).state
    if payment is None:
        raise PaymentNotFoundError("Payment not found")
    return payment


def _forsaken(payment: Payment, clock: Clock, patience: timedelta) -> bool:
    """Whether an order should have been placed with it long ago."""
    waited: datetime = payment.created_at + patience
    return payment.order_id is None and waited <= clock.now()
