"""How the list of refunds is made: a row for each, under the name that the provider knows it by too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, Text, Uuid, text

from domain.kernel import PaymentId, Recorded, stream_id
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
    Column("amount_minor", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("retried", Boolean, nullable=False),
    Column("changed_at", DateTime(timezone=True), nullable=False),
    Index("idx_refunds_failed", "changed_at", postgresql_where=text("status = 'failed' AND NOT retried")),
)


class RefundDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``tries`` counts how often its money was tried to be sent with this one; ``retried``, that it is tried again."""

    payment_id: PaymentId
    refund_id: str
    amount_minor: int
    status: RefundState
    changed_at: datetime
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
            noted = isinstance(event, RefundNoted)
            return RefundDocument(
                payment_id=event.payment_id,
                refund_id=event.refund_id,
                amount_minor=event.amount.minor,
                status=RefundState.SUCCEEDED if noted else RefundState.REQUESTED,
                changed_at=at,
            )
        case RefundRetried() if key == refund_key(event.retry_id):
            return RefundDocument(
                payment_id=event.payment_id,
                refund_id=event.retry_id,
                amount_minor=event.amount.minor if event.amount is not None else 0,
                status=RefundState.REQUESTED,
                changed_at=at,
                tries=event.tries,
            )
    assert found is not None, "a refund begins with being asked for"
    match event:
        case RefundSucceeded():
            return replace(found, status=RefundState.SUCCEEDED, changed_at=at)
        case RefundFailed():
            return replace(found, status=RefundState.FAILED, changed_at=at)
        case _:
            return replace(found, retried=True)


def _row(found: RefundDocument) -> dict[str, Any]:
    return {**msgspec.structs.asdict(found), "status": found.status.value}


REFUND_LIST = Projection(
    name="refunds",
    version=1,
    events=(RefundRequested, RefundSucceeded, RefundFailed, RefundRetried, RefundNoted),
    document=RefundDocument,
    keys=_keys,
    fold=_fold,
    into=Rows(table=refunds, row=_row),
)
