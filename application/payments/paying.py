"""Taking the money for an order. Whatever the provider says, in whatever order and number, comes to the same end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar
from uuid import UUID, uuid4

import msgspec
from msgspec.structs import replace

from application.errors import ConcurrentChangeError
from application.orders.references import known_order
from application.orders.stock import committed, listings_of
from application.payments.references import payment_ref
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
from domain import paying
from domain.accounts.events import Caller
from domain.kernel import AccountId, ForbiddenError, OrderId, PaymentId, stream_id
from domain.money import Money
from domain.orders.order import (
    ORDERS,
    Order,
    OrderCancelledError,
)
from domain.paying import Settled
from domain.payments.events import PaymentEvent, PaymentIntentCreated
from domain.payments.payment import (
    PAYMENTS,
    Payment,
    PaymentFailedError,
    PaymentNotFoundError,
)

T = TypeVar("T")

A_DAY: Final = 86_400.0


class RequestPayment(msgspec.Struct, frozen=True, kw_only=True):
    """Ask the provider to get ready for an order's total. Asked twice, it is the same intent.

    ``amount`` is what the client believes it to be; no caller means that we ask ourselves.
    """

    order_id: OrderId
    caller: Caller | None = None
    amount: Money | None = None


class ConfirmPayment(msgspec.Struct, frozen=True, kw_only=True):
    """``return_url`` is where a payer comes back to who has to go to their bank's page."""

    intent_id: str
    payment_method: str
    caller: Caller
    return_url: str = ""


class PaymentResult(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ACTION_REQUIRED = "action_required"
    PROCESSING = "processing"
    CLOSED = "closed"


class RecordPaymentResult(msgspec.Struct, frozen=True, kw_only=True):
    """The provider says what became of an intent."""

    result: PaymentResult
    intent: PaymentIntent
    failure_code: str = ""
    failure_message: str = ""


async def request_payment(
    command: RequestPayment, metadata: Metadata, *, store: EventStore, payments: PaymentProvider
) -> Changed[Payment]:
    order: Order | None = await glanced(StreamRef(ORDERS, command.order_id), store)
    try:
        return await _requested(command, order, metadata, store, payments)
    except ConcurrentChangeError:
        # Another process has linked or closed a payment a moment ago, which happens a few times in its life.
        now: Order | None = (await store.load(ORDERS, command.order_id)).state
        if now == order:
            raise
        return await _requested(command, now, metadata, store, payments)


async def _requested(
    command: RequestPayment,
    order: Order | None,
    metadata: Metadata,
    store: EventStore,
    payments: PaymentProvider,
) -> Changed[Payment]:
    order = known_order(order)
    if command.caller is not None:
        order.require_visible_to(command.caller)
    if command.amount is not None:
        order.require_amount(command.amount)
    order.require_payable()
    if order.intent_id:
        payment = await store.load(PAYMENTS, payment_ref(order.intent_id).id)
        if payment.state is not None:
            return Changed(state=payment.state, version=payment.version)
    # One that was closed would be given again by the name that it was asked for.
    again = f"-{len(order.closed_intents)}" if order.closed_intents else ""
    intent = await payments.create_intent(
        amount=order.total.minor,
        currency=order.total.currency.lower(),
        metadata={"orderId": order.number, "orderUuid": str(order.id)},
        idempotency_key=f"order-{order.id}{again}",
    )
    refs: list[StreamRef[Any, Any]] = [
        StreamRef(PAYMENTS, stream_id("payment", intent.id), presumed_new=True),
        StreamRef(ORDERS, order.id),
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Payment]:
        current: Order = loaded[1].present
        current.require_payable()
        if intent.id in current.closed_intents or current.intent_id not in ("", intent.id):
            raise ConcurrentChangeError("Its payment has changed meanwhile")
        opened = [] if loaded[0].state is not None else [opened_for(intent, current)]
        linked = current.link_payment(intent.id, amount_of(intent))
        after = PAYMENTS.after(loaded[0].state, opened)
        return Proposal(outcome=after, events=[(refs[0], opened), (refs[1], linked)])

    try:
        return await store.change_together(refs, decide, metadata)
    except OrderCancelledError:
        # Meanwhile, and by somebody who did not know of this intent.
        await payments.cancel_intent(intent.id)
        raise


async def confirm_payment(
    command: ConfirmPayment, metadata: Metadata, *, store: EventStore, payments: PaymentProvider, clock: Clock
) -> Changed[Payment]:
    """Confirm at the provider, and take its word at once; the webhook that says the same later changes nothing.

    What was prepared before there is an order can be paid before, too.
    """
    if metadata.once is not None:
        await store.raise_if_answered(metadata.once)
    ref = payment_ref(command.intent_id)
    known: Payment | None = await glanced(ref, store, within=A_DAY)
    if known is not None and known.order_id is None:
        known = (await store.load(PAYMENTS, ref.id)).state
    if known is None:
        raise PaymentNotFoundError("Payment not found")
    # Of which order it is never changes from then on, so that one question is enough for both as they are now.
    order_refs = [] if known.order_id is None else [StreamRef(ORDERS, known.order_id)]
    loaded, *of_order = await store.load_many([ref, *order_refs])
    payment: Payment = loaded.present
    if not command.caller.is_admin and payment.account_id != command.caller.account_id:
        raise ForbiddenError("You don't have permission to confirm this payment")
    if payment.made:  # the provider would refuse to confirm it again
        return Changed(state=payment, version=loaded.version)
    for order in of_order:
        order.present.require_payable()
    if payment.cancelled:
        raise PaymentFailedError("This payment is closed", details={"code": "canceled"})
    told = await tried(
        command.intent_id,
        command.payment_method,
        metadata,
        return_url=command.return_url,
        store=store,
        payments=payments,
        clock=clock,
    )
    if told is None:
        return Changed(state=payment, version=0)
    changed = await settle(told, metadata, _payment, store=store, clock=clock)
    assert changed.state is not None, "only what we know is confirmed"
    return Changed(state=changed.state, version=changed.version, position=changed.position)


async def tried(
    intent_id: str,
    payment_method: str,
    metadata: Metadata,
    *,
    return_url: str = "",
    store: EventStore,
    payments: PaymentProvider,
    clock: Clock,
) -> RecordPaymentResult | None:
    """What the provider says when it is to take the money; nothing, where it says nothing new.

    A try that failed is recorded before it is refused, and is nobody's answer for ever: the next may succeed.
    """
    key = f"confirm-{intent_id}-{attempt_of(metadata)}"
    intent = await payments.confirm_intent(
        intent_id, payment_method, idempotency_key=key, return_url=return_url
    )
    told = result_of(intent)
    if told is not None and told.result is PaymentResult.FAILED:
        await settle(told, replace(metadata, once=None), _payment, store=store, clock=clock)
        raise PaymentFailedError(
            told.failure_message or "The payment failed", details={"code": told.failure_code}
        )
    return told


async def record_payment_result(
    command: RecordPaymentResult, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Payment | None]:
    """Payment, order and stock move together. An intent that is nothing to us is left alone.

    Money that comes without being owed, as for an order that was cancelled meanwhile, is asked back at once.
    """
    return await settle(command, metadata, _payment, store=store, clock=clock)


Outcome = Callable[[Payment, Order | None], T]


async def settle(
    told: RecordPaymentResult,
    metadata: Metadata,
    outcome: Outcome[T],
    *,
    store: EventStore,
    clock: Clock,
) -> Changed[T | None]:
    """The same, for those who want to know something else of it; nothing for an intent that is nothing to us."""

    def settled(known: Payment | None) -> Awaitable[Changed[T | None]]:
        return _settled(told, known, metadata, outcome, store=store, clock=clock)

    return await with_its_order(told.intent.id, settled, store)


async def with_its_order(
    intent_id: str, act: Callable[[Payment | None], Awaitable[Changed[T]]], store: EventStore
) -> Changed[T]:
    """Act on a payment as a glance shows it; once more, as it is now, if its order was placed a moment ago.

    That happens once in its life. ``act`` tells by ``ConcurrentChangeError`` that the payment is of another order.
    """
    ref = payment_ref(intent_id)
    known: Payment | None = await glanced(ref, store)
    try:
        return await act(known)
    except ConcurrentChangeError:
        now: Payment | None = (await store.load(PAYMENTS, ref.id)).state
        if now is None or (known is not None and now.order_id == known.order_id):
            raise
        return await act(now)


async def _settled(
    told: RecordPaymentResult,
    known: Payment | None,
    metadata: Metadata,
    outcome: Outcome[T],
    *,
    store: EventStore,
    clock: Clock,
) -> Changed[T | None]:
    intent = told.intent
    order_id = known.order_id if known else _order_in(intent)
    order: Order | None = await glanced(StreamRef(ORDERS, order_id), store) if order_id else None
    if known is None and not _concerns_us(told, order):
        return Changed(state=None, version=0)
    ref = payment_ref(intent.id)
    order_refs: list[StreamRef[Any, Any]] = [] if order is None else [StreamRef(ORDERS, order.id)]
    listing_refs = listings_of(order) if order and told.result is PaymentResult.SUCCEEDED else []
    now = clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[T | None]:
        before: Payment | None = loaded[0].state
        current: Order | None = loaded[1].present if order_refs else None
        opened: list[PaymentEvent] = []
        adopted: list[Any] = []
        if before is None:
            opened = [opened_for(intent, current)]
            if current is not None and paying.is_owed(current, intent.id, amount_of(intent)):
                adopted = current.link_payment(intent.id, amount_of(intent))
        elif before.order_id != (None if current is None else current.id):
            raise ConcurrentChangeError("Its order was placed meanwhile")
        payment = PAYMENTS.after(before, opened)
        if current is not None:
            current = ORDERS.after(current, adopted)
        settled = _told(told, payment, current, now)
        stock = committed(current, listing_refs, loaded[2:]) if current and settled.commits else []
        after = PAYMENTS.after(payment, settled.payment)
        return Proposal(
            outcome=outcome(after, current and ORDERS.after(current, settled.order)),
            events=[
                (ref, [*opened, *settled.payment]),
                *((each, [*adopted, *settled.order]) for each in order_refs),
                *stock,
            ],
        )

    return await store.change_together([ref, *order_refs, *listing_refs], decide, metadata)


def _told(told: RecordPaymentResult, payment: Payment, order: Order | None, now: datetime) -> Settled:
    intent = told.intent
    match told.result:
        case PaymentResult.SUCCEEDED:
            return paying.succeeded(
                payment, order, taken=amount_of(intent), brand=intent.brand, last4=intent.last4, at=now
            )
        case PaymentResult.FAILED:
            return paying.failed(
                payment,
                order,
                code=told.failure_code,
                message=told.failure_message,
                attempt=intent.charge_id,
            )
        case PaymentResult.ACTION_REQUIRED:
            return Settled(payment=payment.require_action(intent.action_url))
        case PaymentResult.PROCESSING:
            return Settled(payment=payment.start_processing())
        case PaymentResult.CLOSED:
            return paying.closed(payment, order)


def result_of(intent: PaymentIntent) -> RecordPaymentResult | None:
    """What there is to be recorded of an intent as the provider has it; nothing, where nobody has tried to pay yet."""
    match intent.status:
        case "succeeded":
            result = PaymentResult.SUCCEEDED
        case "requires_action":
            result = PaymentResult.ACTION_REQUIRED
        case "processing":
            result = PaymentResult.PROCESSING
        case "canceled":
            result = PaymentResult.CLOSED
        case _:
            if not intent.failure_code:
                return None
            result = PaymentResult.FAILED
    return RecordPaymentResult(
        result=result,
        intent=intent,
        failure_code=intent.failure_code,
        failure_message=intent.failure_message,
    )


def opened_for(
    intent: PaymentIntent, order: Order | None, *, account_id: AccountId | None = None, number: int = 0
) -> PaymentIntentCreated:
    """An intent as it gets known to us: for an order, or for somebody who has still to place it."""
    account = order.account_id if order is not None else account_id or account_in(intent)
    assert account is not None, "of whom it is was looked at before"
    return PaymentIntentCreated(
        payment_id=PaymentId(stream_id("payment", intent.id)),
        intent_id=intent.id,
        order_id=None if order is None else order.id,
        account_id=account,
        amount=amount_of(intent),
        client_secret=intent.client_secret,
        created_at=intent.created_at,
        order_number="" if order is None else order.number,
        account_number=number if order is None else order.account_number,
    )


def amount_of(intent: PaymentIntent) -> Money:
    return Money(intent.amount, intent.currency.upper())


def account_in(intent: PaymentIntent) -> AccountId | None:
    """For whom we had it prepared before there was an order; what we did not write there ourselves says nothing."""
    try:
        return AccountId(UUID(intent.metadata.get("accountUuid", "")))
    except ValueError:
        return None


async def glanced(ref: StreamRef[Any, Any], store: EventStore, *, within: float = 1.0) -> Any:
    """A glance is enough for what never changes of it; not to say that it is not there, which is final."""
    (glanced,) = await store.glance([ref], within=within)
    return glanced.state if glanced.state is not None else (await store.load(ref.decider, ref.id)).state


def attempt_of(metadata: Metadata) -> str:
    """The same for every try of one request that names itself, so that the provider too gives its first answer.

    Not by the request's id: what lies between us and clients may give many the same.
    """
    if metadata.once is None:
        return str(uuid4())
    once = metadata.once
    return str(stream_id("confirmation", f"{once.scope} {once.key} {once.request_hash.hex()}"))


def _concerns_us(told: RecordPaymentResult, order: Order | None) -> bool:
    """Of what we do not know yet: money that was taken by us, and what an order of ours waits for."""
    if told.result is PaymentResult.SUCCEEDED:
        return order is not None or account_in(told.intent) is not None
    if order is None or order.cancelled or told.intent.id in order.closed_intents:
        return False
    owed = paying.is_owed(order, told.intent.id, amount_of(told.intent))
    return owed and told.result is not PaymentResult.CLOSED


def _payment(payment: Payment, _: Order | None) -> Payment:
    return payment


def _order_in(intent: PaymentIntent) -> OrderId | None:
    number = intent.metadata.get("orderId", "")
    return OrderId(stream_id("order", number)) if number else None
