"""Cancelling orders: order, payment, stock of every line and the counts of its coupons, in one append."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import msgspec

from application.errors import ConcurrentChangeError
from application.orders.references import known_order
from application.orders.stock import listings_of
from application.payments.paying import PaymentResult, RecordPaymentResult, record_payment_result
from application.payments.references import payment_ref
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
from domain import cancelling
from domain.accounts.events import Caller
from domain.kernel import OrderId
from domain.listings.listing import LISTINGS
from domain.orders.events import CancelCause, OrderStatus
from domain.orders.order import ORDERS, Order
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import given_back


class CancelOrder(msgspec.Struct, frozen=True, kw_only=True):
    """By its buyer or an admin, as long as nothing was sent (C33)."""

    order_id: OrderId
    caller: Caller
    reason: str = ""


class CancelUnpaidOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Its time to pay is over. Nothing happens to one that is paid after all, or not that old."""

    order_id: OrderId


async def cancel_order(
    command: CancelOrder, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Order]:
    """The provider is told afterwards, by who reacts to it: it may be down, and still the order is not wanted."""
    cause = CancelCause.ADMIN if command.caller.is_admin else CancelCause.BUYER

    def judge(order: Order) -> _Verdict:
        order.require_cancellable_by(command.caller)
        return _Verdict(cause=cause, reason=command.reason)

    return await _cancelled(command.order_id, judge, metadata, store, clock)


async def cancel_unpaid_order(
    command: CancelUnpaidOrder,
    metadata: Metadata,
    *,
    store: EventStore,
    clock: Clock,
    payments: PaymentProvider,
    patience: timedelta,
) -> Changed[Order]:
    """The payment is closed at the provider first. If it was made, and we were not told, that is what is recorded."""
    order, version = await _found(command.order_id, store)
    unchanged = Changed(state=order, version=version)
    if not _waits_too_long(order, clock, patience):
        return unchanged
    closed = order.intent_id
    if closed:
        intent = await payments.cancel_intent(closed)
        if intent.status == "succeeded":
            made = RecordPaymentResult(result=PaymentResult.SUCCEEDED, intent=intent)
            recorded = await record_payment_result(made, metadata, store=store, clock=clock)
            order, version = await _found(command.order_id, store)
            return Changed(state=order, version=version, position=recorded.position)
        if intent.status != "canceled":
            return unchanged

    def judge(current: Order) -> _Verdict | None:
        if not _waits_too_long(current, clock, patience):
            return None
        return _Verdict(cause=CancelCause.PAYMENT_TIMEOUT, closed=current.intent_id == closed)

    return await _cancelled(command.order_id, judge, metadata, store, clock)


class _Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """``closed`` says that the payment that the order has is closed at the provider."""

    cause: CancelCause
    reason: str = ""
    closed: bool = False


Judge: TypeAlias = Callable[[Order], _Verdict | None]
"""Whether an order is to be cancelled as it is by now; refuses where nobody may."""


class _Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What an order has taken, and is to give back; ``payment`` is empty where none is prepared."""

    order: StreamRef[Any, Any]
    intent_id: str
    listings: Sequence[StreamRef[Any, Any]]
    payment: Sequence[StreamRef[Any, Any]]
    counts: Sequence[StreamRef[Any, Any]]

    @classmethod
    def by(cls, order: Order) -> _Taken:
        intent_id = order.paying_intent
        return cls(
            order=StreamRef(ORDERS, order.id),
            intent_id=intent_id,
            listings=listings_of(order),
            payment=[payment_ref(intent_id)] if intent_id else [],
            counts=[StreamRef(REDEMPTIONS, count) for count in given_back(order)],
        )

    @property
    def refs(self) -> list[StreamRef[Any, Any]]:
        return [self.order, *self.listings, *self.payment, *self.counts]

    def decide(self, judge: Judge, clock: Clock, loaded: Sequence[Loaded[Any]]) -> Proposal[Order]:
        states = {ref.id: each.state for ref, each in zip(self.refs, loaded, strict=True)}
        order: Order = loaded[0].present
        verdict = judge(order)
        if verdict is None:
            return Proposal(outcome=order, events=[])
        if order.paying_intent != self.intent_id:
            raise ConcurrentChangeError("A payment is prepared for it by now")
        cancellation = cancelling.cancel_order(
            order,
            next((states[ref.id] for ref in self.payment), None),
            {each.present.id: each.present for each in loaded[1 : 1 + len(self.listings)]},
            cause=verdict.cause,
            at=clock.now(),
            reason=verdict.reason,
            closed=verdict.closed,
        )
        return Proposal(
            outcome=ORDERS.after(order, cancellation.order),
            events=[
                (self.order, cancellation.order),
                *((ref, cancellation.payment) for ref in self.payment),
                *((StreamRef(LISTINGS, each), events) for each, events in cancellation.stock.items()),
                *(
                    (StreamRef(REDEMPTIONS, each), events)
                    for each, events in cancellation.redemptions.items()
                ),
            ],
        )


async def _cancelled(
    order_id: OrderId, judge: Judge, metadata: Metadata, store: EventStore, clock: Clock
) -> Changed[Order]:
    order, _ = await _found(order_id, store)
    taken = _Taken.by(order)
    try:
        return await store.change_together(taken.refs, partial(taken.decide, judge, clock), metadata)
    except ConcurrentChangeError:
        # Perhaps its payment was prepared a moment ago, and is to be closed too. That happens once in its life.
        order, _ = await _found(order_id, store)
        if order.paying_intent == taken.intent_id:
            raise
        taken = _Taken.by(order)
        return await store.change_together(taken.refs, partial(taken.decide, judge, clock), metadata)


async def _found(order_id: OrderId, store: EventStore) -> tuple[Order, int]:
    loaded = await store.load(ORDERS, order_id)
    return known_order(loaded.state), loaded.version


def _waits_too_long(order: Order, clock: Clock, patience: timedelta) -> bool:
    return order.status is OrderStatus.PENDING and order.placed_at + patience <= clock.now()
