"""What happens to a payment at the provider after it was made: money that goes back, and what banks have against it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from application.errors import ConcurrentChangeError
from application.payments.paying import PaymentResult, glanced, result_of, settle, with_its_order
from application.payments.references import payment_ref
from application.ports import (
    Changed,
    Clock,
    EventStore,
    Loaded,
    Metadata,
    PaymentProvider,
    Proposal,
    ProviderDispute,
    ProviderMessage,
    ProviderRefund,
    StreamRef,
)
from domain import paying
from domain.kernel import PaymentId, stream_id
from domain.money import Money
from domain.orders.order import ORDERS, Order
from domain.paying import Settled
from domain.payments.events import PaymentEvent
from domain.payments.payment import PAYMENTS, Payment
from domain.payments.provider_events import PROVIDER_EVENTS, KeptEvent, ProviderEventReceived, keep


class RecordRefunds(msgspec.Struct, frozen=True, kw_only=True):
    """Something of a payment goes back, or does not after all: the provider is asked what that comes to by now."""

    intent_id: str


class RecordDispute(msgspec.Struct, frozen=True, kw_only=True):
    """The payer's bank has something to say."""

    dispute: ProviderDispute


class KeepProviderEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The provider told us something that is about nothing of ours, or that we do not understand."""

    message: ProviderMessage


class NoteCard(msgspec.Struct, frozen=True, kw_only=True):
    """Of a payment that was made: the provider's messages do not say with what, and it is asked."""

    payment_id: PaymentId


async def note_card(
    command: NoteCard, metadata: Metadata, *, store: EventStore, payments: PaymentProvider
) -> Changed[Payment]:
    known = await store.load(PAYMENTS, command.payment_id)
    if known.state is None or known.state.last4:
        return Changed(state=known.present, version=known.version)
    intent = await payments.intent(known.state.intent_id)

    def decide(payment: Payment | None) -> Sequence[PaymentEvent]:
        assert payment is not None
        return payment.note_card(intent.brand, intent.last4)

    return await store.change(PAYMENTS, command.payment_id, decide, metadata)


async def record_refunds(
    command: RecordRefunds, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Payment | None]:
    """Nothing for a payment that is none of ours. That it was made at all may be what we were not told either."""
    known: Payment | None = await glanced(payment_ref(command.intent_id), store)
    if known is None:
        return Changed(state=None, version=0)
    if not known.made:
        told = result_of(await payments.intent(command.intent_id))
        if told is not None and told.result is PaymentResult.SUCCEEDED:
            unanswered = replace(metadata, once=None)
            await settle(told, unanswered, lambda payment, _: payment, store=store, clock=clock)
    sent = await payments.refunds(command.intent_id)
    currency = known.amount.currency
    return await _noted(
        command.intent_id,
        lambda payment, order: _with_refunds(payment, order, sent, currency),
        metadata,
        store,
    )


async def record_dispute(
    command: RecordDispute, metadata: Metadata, *, store: EventStore
) -> Changed[Payment | None]:
    return await _noted(
        command.dispute.intent_id,
        lambda payment, order: paying.disputed(
            payment,
            order,
            dispute_id=command.dispute.id,
            amount=Money(command.dispute.amount, command.dispute.currency.upper()),
            reason=command.dispute.reason,
            status=command.dispute.status,
        ),
        metadata,
        store,
    )


async def keep_provider_event(
    command: KeepProviderEvent, metadata: Metadata, *, store: EventStore
) -> Changed[KeptEvent]:
    message = command.message
    event = ProviderEventReceived(
        event_id=message.id,
        kind=message.kind,
        object_id=message.object_id,
        created_at=message.created_at,
    )
    return await store.change(
        PROVIDER_EVENTS,
        stream_id("provider-event", message.id),
        lambda kept: keep(kept, event),
        metadata,
    )


async def _noted(
    intent_id: str,
    note: Callable[[Payment, Order | None], Settled],
    metadata: Metadata,
    store: EventStore,
) -> Changed[Payment | None]:
    async def noted(known: Payment | None) -> Changed[Payment | None]:
        if known is None:
            return Changed(state=None, version=0)
        order_id = known.order_id
        ref = payment_ref(intent_id)
        order_refs: list[StreamRef[Any, Any]] = [] if order_id is None else [StreamRef(ORDERS, order_id)]

        def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Payment | None]:
            payment: Payment = loaded[0].present
            if payment.order_id != order_id:
                raise ConcurrentChangeError("Its order was placed meanwhile")
            settled = note(payment, loaded[1].present if order_refs else None)
            return Proposal(
                outcome=PAYMENTS.fold(payment, settled.payment),
                events=[(ref, settled.payment), *((each, settled.order) for each in order_refs)],
            )

        return await store.change_together([ref, *order_refs], decide, metadata)

    return await with_its_order(intent_id, noted, store)


def _with_refunds(
    payment: Payment, order: Order | None, sent: Sequence[ProviderRefund], currency: str
) -> Settled:
    """Ours are known by what we called them when we asked, all others by the provider's names."""
    of_payment: list[Any] = []
    of_order: list[Any] = []
    for refund in sent:
        told = paying.sent_back(
            payment,
            order,
            refund_id=refund.metadata.get("refundId", ""),
            provider_id=refund.id,
            amount=Money(refund.amount, currency),
            status=refund.status,
            code=refund.failure_code,
        )
        payment = PAYMENTS.after(payment, told.payment)
        order = order and ORDERS.after(order, told.order)
        of_payment += told.payment
        of_order += told.order
    return Settled(payment=of_payment, order=of_order)
