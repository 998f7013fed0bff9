"""Questions to the list of sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from projections.ports import Reads
from projections.sessions.projector import SessionDocument

_decode: Final = msgspec.json.Decoder(SessionDocument).decode


async def sessions_of(reads: Reads, account_id: UUID, now: datetime) -> list[SessionDocument]:
    """Those that are good still, the one that was used last first."""
    statement = (
        "SELECT document FROM sessions "
        "WHERE account_id = %s AND expires_at > %s ORDER BY last_used_at DESC, key"
    )
    return [_decode(document) for (document,) in await reads.all(statement, account_id, now)]
