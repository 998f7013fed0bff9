"""Questions to the list of refunds."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from projections.ports import Reads


class FailedRefund(msgspec.Struct, frozen=True, kw_only=True):
    key: UUID
    payment_id: UUID
    refund_id: str


async def refunds_failed_before(reads: Reads, moment: datetime, tries: int, most: int) -> list[FailedRefund]:
    """Those that failed by then, are not tried again yet, and were tried fewer times; the oldest first."""
    rows = await reads.all(
        "SELECT key, payment_id, refund_id FROM refunds WHERE status = 'failed' AND NOT retried "
        "AND changed_at <= %s AND tries < %s ORDER BY changed_at LIMIT %s",
        moment,
        tries,
        most,
    )
    return [
        FailedRefund(key=key, payment_id=payment_id, refund_id=refund_id)
        for key, payment_id, refund_id in rows
    ]
