"""Notes on orders."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import msgspec

from application.orders.references import known_order
from application.ports import Changed, Clock, EventStore, Metadata
from domain.accounts.events import Caller
from domain.kernel import OrderId
from domain.orders.events import NoteVisibility, OrderEvent
from domain.orders.order import ORDERS, Order


class AddNote(msgspec.Struct, frozen=True, kw_only=True):
    """By the buyer or an admin (S2-ORD-09)."""

    order_id: OrderId
    caller: Caller
    note: str
    visibility: NoteVisibility = NoteVisibility.EVERYBODY


async def add_note(
    command: AddNote, metadata: Metadata, *, store: EventStore, clock: Clock
) -> Changed[Order]:
    """The new note is the order's last."""
    note_id = uuid4()

    def note(order: Order | None) -> Sequence[OrderEvent]:
        found = known_order(order)
        found.require_visible_to(command.caller)
        return found.add_note(note_id, command.caller, command.note, command.visibility, clock.now())

    return await store.change(ORDERS, command.order_id, note, metadata)
