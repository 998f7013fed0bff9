"""Taking the money for an order. Whatever the provider says, in whatever order and number, comes to the same end."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from application.ports import (
    Changed,
    Clock,
    EventStore,
    Loaded,
    Metadata,
    PaymentIntent,
    PaymentProvider,
    Proposal,
    StreamRef,
)
from domain.accounts.events import Caller
from domain.cancelling import FOR_CANCELLATION
from domain.kernel import Event, ForbiddenError, OrderId, PaymentId, stream_id
from domain.listings.listing import LISTINGS
from domain.money import Money
from domain.orders.order import ORDERS, Order, OrderCancelledError, OrderNotFoundError
from domain.payments.events import PaymentEvent, PaymentIntentCreated
from domain.payments.payment import PAYMENTS, Payment, PaymentNotFoundError, PaymentState

A_DAY: Final = 86_400.0


class RequestPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the provider to get ready for an order's total. Asked twice, it is the same intent.

    ``amount`` is what the client believes it to be; no caller means that we ask ourselves.
    """

    order_id: OrderId
    caller: Caller | None = None
    amount: Money | None = None


class ConfirmPayment(msgspec.Struct, frozen=True, kw_only=True):
    intent_id: str
    payment_method: str
    caller: Caller


class PaymentResult(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RecordPaymentResult(msgspec.Struct, frozen=True, kw_only=True):
    """The provider says what became of an intent."""

    result: PaymentResult
    intent: PaymentIntent
    failure_code: str = ""
    failure_message: str = ""


async def request_payment(
    command: RequestPayment, metadata: Metadata, *, store: EventStore, payments: PaymentProvider
) -> Changed[Payment]:
    order: Order | None = await _glanced(StreamRef(ORDERS, command.order_id), store)
    if order is None:
        raise OrderNotFoundError("Order not found")
    if command.caller is not None:
        order.require_visible_to(command.caller)
    if command.amount is not None:
        order.require_amount(command.amount)
    order.require_payable()
    if order.intent_id:
        payment = await store.load(PAYMENTS, stream_id("payment", order.intent_id))
        if payment.state is not None:
            return Changed(state=payment.state, version=payment.version)
    intent = await payments.create_intent(
        amount=order.total.minor,
        currency=order.total.currency.lower(),
        metadata={"orderId": order.number, "orderUuid": str(order.id)},
        idempotency_key=f"order-{order.id}",
    )
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(PAYMENTS, stream_id("payment", intent.id)),
        StreamRef(ORDERS, order.id),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Payment]:
        current: Order = loaded[1].present
        current.require_payable()
        payment, linked = linked_payment(loaded[0].state, current, intent)
        after = PAYMENTS.fold(loaded[0].state, payment)
        assert after is not None
        return Proposal(outcome=after, events=[(refs[0], payment), (refs[1], linked)])

    try:
        return await store.change_together(refs, decide, metadata)
    except OrderCancelledError:
        # Meanwhile, and by somebody who did not know of this intent.
        await payments.cancel_intent(intent.id)
        raise


async def confirm_payment(
    command: ConfirmPayment, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Payment]:
    """Confirm at the provider, and take its word at once; the webhook that says the same later changes nothing."""
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    payment_ref: StreamRef[Any, Any] = StreamRef(PAYMENTS, stream_id("payment", command.intent_id))
    known: Payment | None = await _glanced(payment_ref, store, within=A_DAY)
    if known is None:
        raise PaymentNotFoundError("Payment not found")
    if known.order_id is None:
        raise OrderNotFoundError("There is no order for this payment yet")
    # Of which order it is never changes, so that one question is enough for both as they are now.
    loaded, of_order = await store.load_many([payment_ref, StreamRef(ORDERS, known.order_id)])
    payment: Payment = loaded.present
    order: Order = of_order.present
    if not command.caller.is_admin and payment.account_id != command.caller.account_id:
        raise ForbiddenError("You don't have permission to confirm this payment")
    if payment.status is PaymentState.SUCCEEDED:  # the provider would refuse to confirm it again
        return Changed(state=payment, version=loaded.version)
    order.require_payable()
    intent = await payments.confirm_intent(
        command.intent_id,
        command.payment_method,
        idempotency_key=f"confirm-{command.intent_id}-{_attempt(metadata)}",
    )
    if intent.status != "succeeded":
        return Changed(state=payment, version=0)
    settled = RecordPaymentResult(result=PaymentResult.SUCCEEDED, intent=intent)
    changed = await record_payment_result(settled, metadata, store=store, clock=clock)
    assert changed.state is not None
    return Changed(state=changed.state, version=changed.version, position=changed.position)


async def record_payment_result(
    command: RecordPaymentResult, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Payment | None]:
    """Payment, order and stock move together. An intent that belongs to no order of ours is left alone.

    Money that comes for an order that was cancelled meanwhile is asked back at once.
    """
    intent = command.intent
    payment_ref = StreamRef(PAYMENTS, stream_id("payment", intent.id))
    known: Payment | None = await _glanced(payment_ref, store)
    order_id = known.order_id if known else _order_in(intent)
    order: Order | None = await _glanced(StreamRef(ORDERS, order_id), store) if order_id else None
    if order is None:
        return Changed(state=None, version=0)
    order_ref = StreamRef(ORDERS, order.id)
    listing_refs = [StreamRef(LISTINGS, line.listing_id) for line in order.lines]
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Payment | None]:
        payment_events, order_events = linked_payment(loaded[0].state, loaded[1].present, intent)
        payment = PAYMENTS.fold(loaded[0].state, payment_events)
        current = ORDERS.fold(loaded[1].state, order_events)
        assert payment is not None
        assert current is not None
        stock: list[tuple[StreamRef[Any, Any], Sequence[Event]]] = []
        if command.result is PaymentResult.SUCCEEDED:
            current.require_amount(Money(intent.amount, intent.currency.upper()))
            made = payment.succeed(intent.brand, intent.last4)
            payment_events = [*payment_events, *made]
            if made and current.cancelled:
                paid = PAYMENTS.fold(payment, made) or payment
                payment_events += paid.request_refund(paid.refundable, FOR_CANCELLATION)
            confirmed = current.confirm(intent.id, now)
            order_events = [*order_events, *confirmed]
            if confirmed and not current.committed:
                stock = [
                    (ref, listing.present.commit(order.id, line.quantity))
                    for ref, listing, line in zip(listing_refs, loaded[2:], order.lines, strict=True)
                ]
        else:
            payment_events = [*payment_events, *payment.fail(command.failure_code, command.failure_message)]
            failed = current.fail_payment(intent.id, command.failure_code, command.failure_message)
            order_events = [*order_events, *failed]
        after = PAYMENTS.fold(loaded[0].state, payment_events)
        return Proposal(
            outcome=after, events=[(payment_ref, payment_events), (order_ref, order_events), *stock]
        )

    return await store.change_together([payment_ref, order_ref, *listing_refs], decide, metadata)


def linked_payment(
    payment: Payment | None, order: Order, intent: PaymentIntent
) -> tuple[list[PaymentEvent], list[Any]]:
    """What is still missing for the intent to be known and to be the order's: nothing, where both stand already."""
    amount = Money(intent.amount, intent.currency.upper())
    linked = order.link_payment(intent.id, amount)
    if payment is not None:
        return [], linked
    created = PaymentIntentCreated(
        payment_id=PaymentId(stream_id("payment", intent.id)),
        intent_id=intent.id,
        order_id=order.id,
        account_id=order.account_id,
        amount=amount,
        client_secret=intent.client_secret,
        created_at=intent.created_at,
    )
    return [created], linked


async def _glanced(ref: StreamRef[Any, Any], store: EventStore, *, within: float = 1.0) -> Any:
    """A glance is enough for what never changes of it; not to say that it is not there, which is final."""
    (glanced,) = await store.glance([ref], within=within)
    return glanced.state if glanced.state is not None else (await store.load(ref.decider, ref.id)).state


def _attempt(metadata: Metadata) -> str:
    """The same for every try of one request, so that the provider too gives a repeated one its first answer."""
    if metadata.once is None:
        return metadata.request_id
    once = metadata.once
    return str(stream_id("confirmation", f"{once.scope} {once.key} {once.request_hash.hex()}"))


def _order_in(intent: PaymentIntent) -> OrderId | None:
    number = intent.metadata.get("orderId", "")
    return OrderId(stream_id("order", number)) if number else None
