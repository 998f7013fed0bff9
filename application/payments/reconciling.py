"""Comparing a payment with the provider's own books: what a lost message has left is repaired."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from application.payments.noting import RecordDispute, RecordRefunds, record_dispute, record_refunds
from application.payments.paying import A_DAY, result_of, settle
from application.payments.references import payment_ref
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Metadata,
    PaymentProvider,
    ProviderDispute,
    ProviderRefund,
)
from domain.orders.order import ORDERS, Order
from domain.paying import NO_ORDER
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment, PaymentNotFoundError, RefundState

LOST_REFUNDS: Final = timedelta(days=4)
"""So far back refunds are looked through. The provider itself repeats a message for three days."""

LOST_DISPUTES: Final = timedelta(days=120)
"""Banks take their time, and there are few of them."""


class ReconcilePayment(msgspec.Struct, frozen=True, kw_only=True):
    """Asked as often as anybody likes: where we know what the provider knows, nothing happens."""

    intent_id: str


class CompareRecent(msgspec.Struct, frozen=True, kw_only=True):
    """What went back and what banks had to say, also of payments settled long ago, by the provider's own lists."""


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """``repaired`` are the payments of which we had not heard all."""

    repaired: tuple[str, ...]


async def compare_recent(
    command: CompareRecent, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Compared]:
    """What is known already is known from memory, so that it costs the log nothing to look again and again."""
    now = clock.now()
    repaired: list[str] = []
    refunds = await payments.refunds_since(now - LOST_REFUNDS)
    for intent_id in dict.fromkeys(refund.intent_id for refund in refunds):
        of_it = [refund for refund in refunds if refund.intent_id == intent_id]
        if await _is_news(intent_id, partial(_know_refunds, of_it), store):
            recorded = RecordRefunds(intent_id=intent_id)
            await record_refunds(recorded, metadata, store=store, payments=payments, clock=clock)
            repaired.append(intent_id)
    for dispute in await payments.disputes_since(now - LOST_DISPUTES):
        if await _is_news(dispute.intent_id, partial(_knows_dispute, dispute), store):
            await record_dispute(RecordDispute(dispute=dispute), metadata, store=store)
            repaired.append(dispute.intent_id)
    return Changed(state=Compared(repaired=tuple(dict.fromkeys(repaired))), version=0)


async def _is_news(intent_id: str, knows: Callable[[Payment], bool], store: EventStore) -> bool:
    """Whether a payment of ours has not heard of it, which an old memory of it does not say for certain."""
    ref = payment_ref(intent_id)
    (remembered,) = await store.glance([ref], within=A_DAY)
    if remembered.state is not None and knows(remembered.state):
        return False
    now: Payment | None = (await store.load(PAYMENTS, ref.id)).state
    return now is not None and not knows(now)


def _know_refunds(refunds: Sequence[ProviderRefund], payment: Payment) -> bool:
    return all(_knows_refund(refund, payment) for refund in refunds)


def _knows_refund(refund: ProviderRefund, payment: Payment) -> bool:
    """By our name for it where we asked for it, else by the provider's."""
    theirs = (each for each in payment.refunds.values() if each.provider_id == refund.id)
    known = payment.refunds.get(refund.metadata.get("refundId", "")) or next(theirs, None)
    if refund.status == "succeeded":
        return known is not None and known.status is not RefundState.REQUESTED
    if refund.status in {"failed", "canceled"}:
        return known is None or known.status is RefundState.FAILED
    return True


def _knows_dispute(dispute: ProviderDispute, payment: Payment) -> bool:
    return payment.disputes.get(dispute.id) == dispute.status


async def reconcile_payment(
    command: ReconcilePayment,
    metadata: Metadata,
    *,
    store: EventStore,
    payments: PaymentProvider,
    clock: Clock,
    patience: timedelta,
) -> Changed[Payment]:
    """Also what nobody is to pay any more is brought to its end: it is closed, or goes back.

    That is a payment that no order was placed with, and one whose order was cancelled while it was on its way.
    """
    payment = await _known(command.intent_id, store)
    if not payment.over:
        intent = await payments.intent(command.intent_id)
        unwanted = _forsaken(payment, clock, patience) or await _is_cancelled(payment, store)
        if unwanted and intent.status not in {"succeeded", "processing"}:
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
        # Once: what could not be sent is tried again as all other refunds are, so often and no more.
        asked = any(
            refund.reason == NO_ORDER or (refund.status is RefundState.FAILED and not current.retried(name))
            for name, refund in current.refunds.items()
        )
        if asked or not _forsaken(current, clock, patience) or not current.refundable.minor:
            return []
        return current.request_refund(current.refundable, NO_ORDER)

    return await store.change(PAYMENTS, payment.id, decide, metadata)


async def _known(intent_id: str, store: EventStore) -> Payment:
    payment: Payment | None = (await store.load(PAYMENTS, payment_ref(intent_id).id)).state
    if payment is None:
        raise PaymentNotFoundError("Payment not found")
    return payment


async def _is_cancelled(payment: Payment, store: EventStore) -> bool:
    if payment.order_id is None:
        return False
    order: Order | None = (await store.load(ORDERS, payment.order_id)).state
    return order is not None and order.cancelled


def _forsaken(payment: Payment, clock: Clock, patience: timedelta) -> bool:
    """Whether an order should have been placed with it long ago."""
    waited: datetime = payment.created_at + patience
    return payment.order_id is None and waited <= clock.now()
