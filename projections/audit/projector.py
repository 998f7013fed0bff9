"""How the audit trail is made: a row for every event there is, without what the event says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Column, DateTime, Index, Text, Uuid

from domain.kernel import Recorded, tag_of
from domain.registry import EVENTS
from projections.projection import Projection, Rows, read_model

audit_trail = read_model(
    "audit_trail",
    Column("stream", Uuid, nullable=False),
    Column("aggregate", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("idx_audit_position", "position", unique=True),
    Index("idx_audit_stream", "stream", "position"),
    Index("idx_audit_type", "type", "position"),
    Index("idx_audit_actor", "actor", "position"),
    Index("idx_audit_at", "at", "position"),
)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    stream: UUID
    aggregate: str
    type: str
    actor: str
    at: datetime


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return (recorded.id,)


def _fold(_: AuditEntry | None, recorded: Recorded[Any], __: UUID) -> AuditEntry:
    return AuditEntry(
        stream=recorded.stream,
        aggregate=recorded.aggregate,
        type=tag_of(type(recorded.event)),
        actor=recorded.actor,
        at=recorded.timestamp,
    )


AUDIT_TRAIL = Projection(
    name="audit_trail",
    version=1,
    events=tuple(EVENTS.values()),
    document=AuditEntry,
    keys=_keys,
    fold=_fold,
    into=Rows[AuditEntry](table=audit_trail, row=msgspec.structs.asdict),
    append_only=True,
)
