"""How the list of orders is made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import Column, DateTime, Index, LargeBinary, Text, Uuid

from domain.accounts.events import AccountErased
from domain.kernel import Recorded
from domain.orders.events import OrderEvent, PostalAddress
from domain.orders.order import Order
from projections.orders.order import OrderDocument, order_body
from projections.projection import Projection, Rows, by_stream, read_model
from projections.wire import encode

orders = read_model(
    "orders",
    Column("number", Text, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("idx_orders_user_id", "account_id", "created_at"),
    Index("idx_orders_status", "status", "created_at"),
    Index("idx_orders_created_at", "created_at"),
)


def _fold(document: OrderDocument | None, recorded: Recorded[Any], _: UUID) -> OrderDocument:
    if isinstance(recorded.event, AccountErased):
        assert document is not None, "only what is there is about somebody"
        return replace(document, order=_forgotten(document.order))
    order = Order.evolve(document.order if document else None, recorded.event)
    return OrderDocument(order=order, updated_at=recorded.timestamp)


def _forgotten(order: Order) -> Order:
    """The order as its events read once the buyer's key is destroyed; what was sold to whom stays (C-2)."""
    return replace(order, shipping_address=PostalAddress(), billing_address=None, cancel_reason="")


def _row(document: OrderDocument) -> dict[str, Any]:
    order = document.order
    return {
        "number": order.number,
        "account_id": order.account_id,
        "status": order.status.value,
        "created_at": order.placed_at,
        "body": encode(order_body(order, document.updated_at)),
    }


ORDER_LIST = Projection(
    name="orders",
    version=4,
    events=get_args(OrderEvent),
    document=OrderDocument,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=orders, row=_row),
    subjects=lambda document: (document.order.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
