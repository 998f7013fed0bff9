"""Questions to the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from projections.ports import Reads


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; ``after`` is the position that the last page ended with, ``person`` whom they tell about."""

    stream: UUID | None = None
    person: UUID | None = None
    type: str = ""
    actor: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    limit: int = 50


async def audited_positions(reads: Reads, asked: AuditFilter) -> list[int]:
    """The log positions of the events, in order; what the events say is in the log and nowhere else."""
    conditions = ["position > %s"]
    parameters: list[Any] = [asked.after]
    for condition, value in (
        ("stream = %s", asked.stream),
        ("person = %s", asked.person),
        ("type = %s", asked.type),
        ("actor = %s", asked.actor),
        ("at >= %s", asked.since),
        ("at < %s", asked.until),
    ):
        if value:
            conditions.append(condition)
            parameters.append(value)
    statement = (
        f"SELECT position FROM audit_trail WHERE {' AND '.join(conditions)} ORDER BY position LIMIT %s"
    )
    return [position for (position,) in await reads.all(statement, *parameters, asked.limit)]
