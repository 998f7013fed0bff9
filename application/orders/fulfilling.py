"""Sending orders: how far each parcel is, and what carriers say of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

import msgspec

from application.orders.references import known_order
from application.orders.stock import committed, listings_of
from application.ports import Changed, Clock, EventStore, Loaded, Metadata, Proposal, StreamRef
from domain.accounts.events import Caller
from domain.kernel import ForbiddenError, InvalidInputError, OrderId
from domain.orders.events import (
    NoteVisibility,
    OrderEvent,
    OrderProcessingStarted,
    OrderStatus,
    TrackingStatus,
)
from domain.orders.order import ORDERS, Order
from domain.orders.parcels import Shipment

AHEAD: Final = timedelta(minutes=5)
"""How far the clock of whoever tells us something may be ahead of ours."""


class AdvanceOrder(msgspec.Struct, frozen=True, kw_only=True):
    """An admin brings an order that far, or a seller what they sell of it (C33).

    ``parcels`` are meant by their numbers; none named are all that are the caller's to send.
    """

    order_id: OrderId
    caller: Caller
    to: OrderStatus
    parcels: tuple[int, ...] | None = None
    shipment: Shipment = Shipment()
    note: str = ""


class UpdateTracking(msgspec.Struct, frozen=True, kw_only=True):
    """What a carrier says of a parcel; without a ``caller`` it does so itself.

    ``parcel`` may be left out where there is but one that the caller can mean; ``at`` where it is now.
    """

    order_id: OrderId
    status: TrackingStatus
    caller: Caller | None = None
    parcel: int | None = None
    location: str = ""
    description: str = ""
    at: datetime | None = None


async def advance_order(
    command: AdvanceOrder, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Order]:
    """What is sent before it is paid leaves the stock in the same append, and its payment does not take it again."""
    order = known_order((await store.load(ORDERS, command.order_id)).state)
    order_ref: StreamRef[Any, Any] = StreamRef(ORDERS, order.id)
    starts = command.caller.is_admin and not order.committed
    listing_refs = listings_of(order) if starts else []
    note_id, now = uuid4(), clock.now()

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Order]:
        current: Order = loaded[0].present
        events: list[OrderEvent] = [
            *current.advance(
                command.to,
                now,
                parcels=_chosen(current, command),
                may_skip=command.caller.is_admin,
                shipment=command.shipment,
            )
        ]
        started = any(isinstance(event, OrderProcessingStarted) for event in events)
        stock = committed(current, listing_refs, loaded[1:]) if started else []
        if command.note:
            events += current.add_note(note_id, command.caller, command.note, NoteVisibility.EVERYBODY, now)
        return Proposal(outcome=ORDERS.after(current, events), events=[(order_ref, events), *stock])

    return await store.change_together([order_ref, *listing_refs], decide, metadata)


async def update_tracking(
    command: UpdateTracking, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Order]:
    now = clock.now()
    occurred_at = command.at or now
    if occurred_at > now + AHEAD:
        if command.caller is not None:
            raise InvalidInputError({"timestamp": ["Must not be in the future"]})
        occurred_at = now

    def track(state: Order | None) -> Sequence[OrderEvent]:
        order = known_order(state)
        return order.track(
            _tracked(order, command),
            command.status,
            command.location,
            command.description,
            occurred_at,
            at=now,
        )

    return await store.change(ORDERS, command.order_id, track, metadata)


def _chosen(order: Order, command: AdvanceOrder) -> tuple[int, ...]:
    order.require_sent_by(command.caller)
    theirs = order.sent_by(command.caller)
    if command.parcels is None:
        return theirs
    for number in command.parcels:
        _require_theirs(order, number, command.caller)
    return command.parcels


def _tracked(order: Order, command: UpdateTracking) -> int:
    if command.caller is not None:
        order.require_sent_by(command.caller)
    if command.parcel is not None:
        _require_theirs(order, command.parcel, command.caller)
        return command.parcel
    theirs = (
        tuple(range(1, len(order.parcels) + 1)) if command.caller is None else order.sent_by(command.caller)
    )
    if len(theirs) > 1:
        raise InvalidInputError({"parcel": [f"Is required: it is one of {len(theirs)}"]})
    return theirs[0]


def _require_theirs(order: Order, number: int, caller: Caller | None) -> None:
    if caller is not None and not caller.is_admin and number not in order.sent_by(caller):
        raise ForbiddenError("You don't have permission to change this parcel")
    order.parcel(number)
