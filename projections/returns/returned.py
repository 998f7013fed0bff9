"""A return on the wire (S2-ORD-10)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.kernel import AccountId, OrderId, SellerId
from domain.money import Money
from domain.orders.events import ReturnedLine, ReturnStatus
from domain.orders.order import Order
from projections.wire import time


class ReturnDocument(msgspec.Struct, frozen=True, kw_only=True):
    """``refund`` is what was asked back for it, once it was received; ``shared`` says that others sold some of it."""

    id: UUID
    order_id: OrderId
    order_number: str
    account_id: AccountId
    lines: tuple[ReturnedLine, ...]
    reason: str
    status: ReturnStatus
    requested_at: datetime
    resolved_at: datetime | None = None
    received_at: datetime | None = None
    rejection: str = ""
    restocked: bool = False
    refund: Money | None = None
    refund_id: str = ""
    shared: bool = False

    @property
    def seller_ids(self) -> tuple[SellerId, ...]:
        return tuple(dict.fromkeys(line.seller_id for line in self.lines if line.seller_id is not None))

    def seen_by(self, seller_id: SellerId) -> ReturnDocument | None:
        """What a seller sees of it: their own goods; what others sold with them, and for how much, is not theirs."""
        own = tuple(line for line in self.lines if line.seller_id == seller_id)
        if not own:
            return None
        return self if own == self.lines else replace(self, lines=own, refund=None, refund_id="", shared=True)


def returns_of(order: Order) -> list[ReturnDocument]:
    """All of an order, in the order in which they were asked for."""
    return [
        ReturnDocument(
            id=each.id,
            order_id=order.id,
            order_number=order.number,
            account_id=order.account_id,
            lines=tuple(
                ReturnedLine(
                    listing_id=line.listing_id,
                    quantity=each.lines[line.listing_id],
                    number=line.number,
                    title=line.title,
                    seller_id=line.seller_id,
                )
                for line in order.lines
                if line.listing_id in each.lines
            ),
            reason=each.reason,
            status=each.status,
            requested_at=each.requested_at,
            resolved_at=each.resolved_at,
            received_at=each.received_at,
            rejection=each.rejection,
            restocked=each.restocked,
            refund=each.refund if each.arrived else None,
            refund_id=each.refund_id,
        )
        for each in order.returns
    ]


def return_of(order: Order, return_id: UUID) -> dict[str, Any]:
    return next(return_body(each) for each in returns_of(order) if each.id == return_id)


def return_body(returned: ReturnDocument) -> dict[str, Any]:
    return {
        "id": str(returned.id),
        "orderId": returned.order_number,
        "orderUuid": str(returned.order_id),
        "status": returned.status,
        "reason": returned.reason,
        "items": [
            {
                "id": line.number,
                "productId": line.number,
                "uuid": str(line.listing_id),
                "title": line.title,
                "quantity": line.quantity,
                "sellerId": None if line.seller_id is None else str(line.seller_id),
            }
            for line in returned.lines
        ],
        "partial": returned.shared,
        "refundAmount": None if returned.refund is None else returned.refund.units(),
        "refundId": returned.refund_id or None,
        "restocked": returned.restocked,
        "rejectionReason": returned.rejection or None,
        "createdAt": time(returned.requested_at),
        "requestedAt": time(returned.requested_at),
        "resolvedAt": _optional_time(returned.resolved_at),
        "receivedAt": _optional_time(returned.received_at),
    }


def bodies_for(found: Collection[ReturnDocument], seller_id: SellerId) -> list[dict[str, Any]]:
    """What a seller is told of these."""
    seen = (each.seen_by(seller_id) for each in found)
    return [return_body(each) for each in seen if each is not None]


def _optional_time(at: datetime | None) -> str | None:
    return None if at is None else time(at)
