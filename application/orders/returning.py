"""Returns: goods that come back, with their money, from the buyer's wish to their arrival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec

from application.errors import ConcurrentChangeError
from application.orders.references import known_order
from application.payments.references import payment_ref
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain import returning
from domain.accounts.events import Caller
from domain.kernel import ForbiddenError, ListingId, OrderId, stream_id
from domain.listings.listing import LISTINGS
from domain.money import Money
from domain.orders.events import OrderEvent
from domain.orders.order import ORDERS, Order


class ReturnItem(msgspec.Struct, frozen=True, kw_only=True):
    listing_id: ListingId
    quantity: int


class RequestReturn(msgspec.Struct, frozen=True, kw_only=True):
    """By the buyer, or an admin for them. Without ``items`` it is all that can be returned."""

    order_id: OrderId
    caller: Caller
    reason: str
    items: tuple[ReturnItem, ...] = ()


class ApproveReturn(msgspec.Struct, frozen=True, kw_only=True):
    """By an admin, or the seller of all that is in it; so are the others below."""

    order_id: OrderId
    return_id: UUID
    caller: Caller


class RejectReturn(msgspec.Struct, frozen=True, kw_only=True):
    order_id: OrderId
    return_id: UUID
    caller: Caller
    reason: str = ""


class ReceiveReturn(msgspec.Struct, frozen=True, kw_only=True):
    """The goods are here. ``amount`` is what goes back where an admin says that it is not what they were sold for."""

    order_id: OrderId
    return_id: UUID
    caller: Caller
    restock: bool = True
    amount: Money | None = None


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """An order, and which return of it was asked about."""

    order: Order
    return_id: UUID


async def request_return(
    command: RequestReturn, metadata: Metadata, *, store: EventStore, clock: Clock, window: timedelta
) -> Changed[Returned]:
    """``window`` is for how long after its delivery something can be returned."""
    units: dict[ListingId, int] = {}
    for item in command.items:
        units[item.listing_id] = units.get(item.listing_id, 0) + item.quantity
    ref: StreamRef[Any, Any] = StreamRef(ORDERS, command.order_id)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Returned]:
        order = known_order(loaded[0].state)
        order.require_visible_to(command.caller)
        return_id = stream_id("return", f"{order.id} {len(order.returns) + 1}")
        events = order.request_return(return_id, units, command.reason, clock.now(), window=window)
        return _proposed(ref, order, return_id, events)

    return await store.change_together([ref], decide, metadata)


async def approve_return(
    command: ApproveReturn, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Returned]:
    def approved(order: Order) -> Sequence[OrderEvent]:
        return order.approve_return(command.return_id, clock.now())

    return await _judged(command, approved, metadata, store)


async def reject_return(
    command: RejectReturn, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Returned]:
    def rejected(order: Order) -> Sequence[OrderEvent]:
        return order.reject_return(command.return_id, command.reason, clock.now())

    return await _judged(command, rejected, metadata, store)


async def receive_return(
    command: ReceiveReturn, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Returned]:
    """Order, payment and stock move in one append; the provider is told afterwards, by who reacts to it.

    Its coupon stays used, as ``domain/returning.py`` says.
    """
    order = known_order((await store.load(ORDERS, command.order_id)).state)
    back = _Back.of(order, command)
    try:
        return await store.change_together(back.refs, partial(back.decide, clock), metadata)
    except ConcurrentChangeError:
        # Perhaps a payment was made for it a moment ago, and is what is to go back. That happens once in its life.
        order = known_order((await store.load(ORDERS, command.order_id)).state)
        if order.paying_intent == back.intent_id:
            raise
        back = _Back.of(order, command)
        return await store.change_together(back.refs, partial(back.decide, clock), metadata)


class _Back(msgspec.Struct, frozen=True, kw_only=True):
    """What is decided on; ``payment`` is empty where none is prepared."""

    command: ReceiveReturn
    order: StreamRef[Any, Any]
    intent_id: str
    listings: Sequence[StreamRef[Any, Any]]
    payment: Sequence[StreamRef[Any, Any]]

    @classmethod
    def of(cls, order: Order, command: ReceiveReturn) -> _Back:
        order.require_return_judged_by(command.caller, command.return_id)
        if command.amount is not None and not command.caller.is_admin:
            raise ForbiddenError("Only admins decide how much goes back")
        intent_id = order.paying_intent
        return cls(
            command=command,
            order=StreamRef(ORDERS, order.id),
            intent_id=intent_id,
            listings=[StreamRef(LISTINGS, each) for each in order.a_return(command.return_id).lines],
            payment=[payment_ref(intent_id)] if intent_id else [],
        )

    @property
    def refs(self) -> list[StreamRef[Any, Any]]:
        return [self.order, *self.listings, *self.payment]

    def decide(self, clock: Clock, loaded: Sequence[Loaded[Any]]) -> Proposal[Returned]:
        order: Order = loaded[0].present
        if order.paying_intent != self.intent_id:
            raise ConcurrentChangeError("It is paid by another payment by now")
        after_listings = 1 + len(self.listings)
        payment = loaded[after_listings].state if self.payment else None
        receipt = returning.receive_return(
            order,
            payment,
            {each.present.id: each.present for each in loaded[1:after_listings]},
            self.command.return_id,
            at=clock.now(),
            restock=self.command.restock,
            amount=self.command.amount,
        )
        proposal = _proposed(self.order, order, self.command.return_id, receipt.order)
        return Proposal(
            outcome=proposal.outcome,
            events=[
                *proposal.events,
                *((ref, receipt.payment) for ref in self.payment),
                *((StreamRef(LISTINGS, each), events) for each, events in receipt.stock.items()),
            ],
        )


async def _judged(
    command: ApproveReturn | RejectReturn,
    judge: Callable[[Order], Sequence[OrderEvent]],
    metadata: Metadata,
    store: EventStore,
) -> Changed[Returned]:
    ref: StreamRef[Any, Any] = StreamRef(ORDERS, command.order_id)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Returned]:
        order = known_order(loaded[0].state)
        order.require_return_judged_by(command.caller, command.return_id)
        return _proposed(ref, order, command.return_id, judge(order))

    return await store.change_together([ref], decide, metadata)


def _proposed(
    ref: StreamRef[Any, Any], order: Order, return_id: UUID, events: Sequence[OrderEvent]
) -> Proposal[Returned]:
    after = ORDERS.after(order, events)
    return Proposal(outcome=Returned(order=after, return_id=return_id), events=[(ref, events)])
