"""How the list of returns is made: a row for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import Column, DateTime, Index, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from domain.accounts.events import AccountErased
from domain.kernel import Event, Recorded
from domain.orders.events import (
    OrderRefunded,
    OrderRefundFailed,
    OrderReturnApproved,
    OrderReturnReceived,
    OrderReturnRejected,
    OrderReturnRequested,
    ReturnStatus,
)
from projections.projection import Projection, Rows, read_model
from projections.returns.returned import ReturnDocument

returns = read_model(
    "returns",
    Column("order_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("seller_ids", ARRAY(PG_UUID(as_uuid=True)), nullable=False),
    Column("requested_at", DateTime(timezone=True), nullable=False),
    Index("idx_returns_requested_at", "requested_at", "key"),
    Index("idx_returns_status", "status", "requested_at", "key"),
    Index("idx_returns_seller_ids", "seller_ids", postgresql_using="gin"),
)


def _keys(recorded: Recorded[Any]) -> Sequence[UUID]:
    return_id = recorded.event.return_id
    return () if return_id is None else (return_id,)


def _fold(found: ReturnDocument | None, recorded: Recorded[Any], _: UUID) -> ReturnDocument:
    event = recorded.event
    if isinstance(event, OrderReturnRequested):
        return ReturnDocument(
            id=event.return_id,
            order_id=event.order_id,
            order_number=event.number,
            account_id=event.account_id,
            lines=event.lines,
            reason=event.reason,
            status=ReturnStatus.REQUESTED,
            requested_at=event.requested_at,
        )
    assert found is not None, "a return begins with being asked for"
    return replace(found, **_changed(event))


def _changed(event: Event) -> dict[str, Any]:
    match event:
        case OrderReturnApproved(approved_at=at):
            return {"status": ReturnStatus.APPROVED, "resolved_at": at}
        case OrderReturnRejected(rejected_at=at, reason=reason):
            return {"status": ReturnStatus.REJECTED, "resolved_at": at, "rejection": reason}
        case OrderReturnReceived():
            return {
                "status": ReturnStatus.RECEIVED,
                "received_at": event.received_at,
                "restocked": event.restocked,
                "refund": event.refund,
                "refund_id": event.refund_id,
            }
        case OrderRefunded():
            return {"status": ReturnStatus.REFUNDED}
        case OrderRefundFailed():
            return {"status": ReturnStatus.RECEIVED}
    return {"reason": "", "rejection": ""}  # the buyer is erased


def _row(found: ReturnDocument) -> dict[str, Any]:
    return {
        "order_id": found.order_id,
        "status": found.status.value,
        "seller_ids": list(found.seller_ids),
        "requested_at": found.requested_at,
    }


RETURN_LIST = Projection(
    name="returns",
    version=1,
    events=(
        OrderReturnRequested,
        OrderReturnApproved,
        OrderReturnRejected,
        OrderReturnReceived,
        OrderRefunded,
        OrderRefundFailed,
    ),
    document=ReturnDocument,
    keys=_keys,
    fold=_fold,
    into=Rows(table=returns, row=_row),
    subjects=lambda found: (found.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
