"""Questions to the list of refunds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.payments.payment import RefundState
from projections.keyset import Piece, Question, Sorting, Values, batch_of
from projections.ports import Reads
from projections.refunds.projector import RefundDocument
from projections.wire import time

_decode: Final = msgspec.json.Decoder(RefundDocument).decode


class FailedRefund(msgspec.Struct, frozen=True, kw_only=True):
    changed_at: datetime
    key: UUID
    payment_id: UUID
    refund_id: str


async def refunds_failed_before(
    reads: Reads, moment: datetime, tries: int, after: FailedRefund | None, most: int
) -> list[FailedRefund]:
    """Those that failed by then, are not tried again yet, and were tried fewer times.

    The oldest first, from the one behind ``after`` on.
    """
    rows = await batch_of(
        reads,
        "SELECT changed_at, key, payment_id, refund_id FROM refunds WHERE status = 'failed' AND NOT retried "
        "AND changed_at <= %s AND tries < %s",
        [moment, tries],
        by=("changed_at", "key"),
        after=None if after is None else (after.changed_at, after.key),
        most=most,
    )
    return [
        FailedRefund(changed_at=changed_at, key=key, payment_id=payment_id, refund_id=refund_id)
        for changed_at, key, payment_id, refund_id in rows
    ]


class RefundPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    bodies: Sequence[dict[str, Any]]
    last: Values | None = None


async def refunds_page(reads: Reads, status: RefundState | None, piece: Piece) -> RefundPage:
    """Of whatever orders, the last that something happened to first."""
    question = Question(
        columns="document, order_id, payment_id",
        source="refunds",
        where="true" if status is None else "status = %s",
        parameters=[] if status is None else [status.value],
        beside="LEFT JOIN orders o ON o.key = page.order_id LEFT JOIN payments p ON p.key = page.payment_id",
        shown="page.document, o.number, p.intent_id",
    )
    found = await question.ask(reads, _NEWEST, piece)
    bodies = [_body(_decode(document), *names) for document, *names in found.rows]
    return RefundPage(total=found.total, bodies=bodies, last=found.last)


def _body(refund: RefundDocument, order_number: str | None, intent_id: str | None) -> dict[str, Any]:
    """Without one or the other where there is no order, or its read model has not come that far."""
    return {
        "id": refund.refund_id,
        "paymentIntentId": intent_id,
        "orderId": order_number,
        "amount": refund.amount.units(),
        "currency": refund.amount.currency,
        "reason": refund.reason,
        "status": refund.status,
        "tries": refund.tries,
        "retried": refund.retried,
        "failureReason": refund.failure or None,
        "createdAt": time(refund.asked_at),
        "updatedAt": time(refund.changed_at),
    }


_NEWEST: Final = Sorting(by=("changed_at", "refund_id"), descending=True, types=("timestamptz", "text"))
