"""How the list of refunds is made: a row for each, under the name that the provider knows it by too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import Boolean, Column, DateTime, Index, Integer, Text, Uuid, text

from domain.kernel import OrderId, PaymentId, Recorded, stream_id
from domain.money import Money
from domain.payments.events import (
    RefundFailed,
    RefundNoted,
    RefundRequested,
    RefundRetried,
    RefundSucceeded,
)
from domain.payments.payment import RefundState
from projections.projection import Projection, Rows, read_model

refunds = read_model(
    "refunds",
    Column("payment_id", Uuid, nullable=False),
    Column("refund_id", Text, nullable=False),
    Column("order_id", Uuid),
    Column("status", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("retried", Boolean, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("idx_refunds_changed_at", "changed_at", "refund_id"),
    Index("idx_refunds_status", "status", "changed_at", "refund_id"),
    Index(
        "idx_refunds_failed", "changed_at", "key", postgresql_where=text("status = 'failed' AND NOT retried")
    ),
)


class RefundDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``tries`` counts how often its money was tried to be sent with this one; ``retried``, that it is tried again.

    ``failure`` is why it failed, in the provider's words. What somebody said of it in their own is not told here.
    """

    payment_id: PaymentId
    refund_id: str
    amount: Money
    status: RefundState
    asked_at: datetime
    changed_at: datetime
    order_id: OrderId | None = None
    reason: str = ""
    failure: str = ""
    tries: int = 1
    retried: bool = False


def refund_key(refund_id: str) -> UUID:
    return stream_id("refund", refund_id)


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    event = recorded.event
    if isinstance(event, RefundRetried):
        return refund_key(event.refund_id), refund_key(event.retry_id)
    return (refund_key(event.refund_id),)


def _fold(found: RefundDocument | None, recorded: Recorded[Any], key: UUID) -> RefundDocument:
    event, at = recorded.event, recorded.timestamp
    match event:
        case RefundRequested() | RefundNoted():
            return RefundDocument(
                payment_id=event.payment_id,
                refund_id=event.refund_id,
                amount=event.amount,
                status=RefundState.SUCCEEDED if isinstance(event, RefundNoted) else RefundState.REQUESTED,
                asked_at=at,
                changed_at=at,
                order_id=None if isinstance(event, RefundNoted) else event.order_id,
                reason="at_the_provider" if isinstance(event, RefundNoted) else event.reason,
            )
        case RefundRetried() if key == refund_key(event.retry_id):
            return RefundDocument(
                payment_id=event.payment_id,
                refund_id=event.retry_id,
                amount=event.amount or Money(0),
                status=RefundState.REQUESTED,
                asked_at=at,
                changed_at=at,
                order_id=event.order_id,
                reason="retry",
                tries=event.tries,
            )
    assert found is not None, "a refund begins with being asked for"
    match event:
        case RefundSucceeded():
            return replace(found, status=RefundState.SUCCEEDED, changed_at=at)
        case RefundFailed(message=message):
            return replace(found, status=RefundState.FAILED, changed_at=at, failure=message)
        case _:
            return replace(found, retried=True)


def _row(found: RefundDocument) -> dict[str, Any]:
    return {
        "payment_id": found.payment_id,
        "refund_id": found.refund_id,
        "order_id": found.order_id,
        "status": found.status.value,
        "tries": found.tries,
        "retried": found.retried,
        "changed_at": found.changed_at,
    }


REFUND_LIST = Projection(
    name="refunds",
    version=2,
    events=(RefundRequested, RefundSucceeded, RefundFailed, RefundRetried, RefundNoted),
    document=RefundDocument,
    keys=_keys,
    fold=_fold,
    into=Rows(table=refunds, row=_row),
)
