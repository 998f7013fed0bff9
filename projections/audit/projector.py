"""How the audit trail is made: a row for every event there is, without what the event says.

``person`` is whom it tells something personal about; whoever asks what is held about them is answered by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime, Index, Text, Uuid, text

from domain.kernel import Event, Recorded, tag_of
from domain.registry import EVENTS
from projections.projection import Projection, Rows, read_model

audit_trail = read_model(
    "audit_trail",
    Column("stream", Uuid, nullable=False),
    Column("aggregate", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("person", Uuid),
    Index("idx_audit_position", "position", unique=True),
    Index("idx_audit_stream", "stream", "position"),
    Index("idx_audit_type", "type", "position"),
    Index("idx_audit_actor", "actor", "position"),
    Index("idx_audit_at", "at", "position"),
    Index("idx_audit_person", "person", "position", postgresql_where=text("person IS NOT NULL")),
)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    stream: UUID
    aggregate: str
    type: str
    actor: str
    at: datetime
    person: UUID | None = None


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return (recorded.id,)


def _fold(_: AuditEntry | None, recorded: Recorded[Any], __: UUID) -> AuditEntry:
    event: Event = recorded.event
    return AuditEntry(
        stream=recorded.stream,
        aggregate=recorded.aggregate,
        type=tag_of(type(event)),
        actor=recorded.actor,
        at=recorded.timestamp,
        person=None if event.subject is None else getattr(event, event.subject),
    )


AUDIT_TRAIL = Projection(
    name="audit_trail",
    version=2,
    events=tuple(EVENTS.values()),
    document=AuditEntry,
    keys=_keys,
    fold=_fold,
    into=Rows[AuditEntry](table=audit_trail, row=msgspec.structs.asdict),
    append_only=True,
)
