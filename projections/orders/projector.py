"""How the list of orders is made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, LargeBinary, Text, Uuid
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from domain.accounts.events import AccountErased
from domain.kernel import Recorded
from domain.orders.carriers import as_scanned
from domain.orders.events import OrderEvent, PostalAddress
from domain.orders.order import Order
from projections.orders.order import OrderDocument, delivered_at, order_body, shipped_at
from projections.projection import Projection, Rows, by_stream, read_model
from projections.wire import encode

orders = read_model(
    "orders",
    Column("number", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("account_id", Uuid, nullable=False),
    Column("status", Text, nullable=False),
    Column("payment_status", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("confirmed_at", DateTime(timezone=True)),
    Column("shipped_at", DateTime(timezone=True)),
    Column("delivered_at", DateTime(timezone=True)),
    Column("total_minor", BigInteger, nullable=False),
    Column("refunded_minor", BigInteger, nullable=False),
    Column("units", Integer, nullable=False),
    Column("seller_ids", ARRAY(PG_UUID(as_uuid=True)), nullable=False),
    Column("sold", ARRAY(Text), nullable=False),
    Column("tracking_numbers", ARRAY(Text), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("idx_orders_user_id", "account_id", "created_at"),
    Index("idx_orders_status", "status", "created_at"),
    Index("idx_orders_payment_status", "payment_status", "created_at"),
    Index("idx_orders_created_at", "created_at"),
    Index("idx_orders_confirmed_at", "confirmed_at"),
    Index("idx_orders_number", "number", postgresql_ops={"number": "text_pattern_ops"}),
    Index("idx_orders_seller_ids", "seller_ids", postgresql_using="gin"),
    Index("idx_orders_sold", "sold", postgresql_using="gin"),
    Index("idx_orders_tracking_numbers", "tracking_numbers", postgresql_using="gin"),
)


def sold_mark(seller_id: UUID, status: str) -> str:
    """What ``sold`` has for each parcel: whose it is, and how far."""
    return f"{seller_id} {status}"


def _fold(document: OrderDocument | None, recorded: Recorded[Any], _: UUID) -> OrderDocument:
    if isinstance(recorded.event, AccountErased):
        assert document is not None, "only what is there is about somebody"
        return replace(document, order=_forgotten(document.order))
    order = Order.evolve(document.order if document else None, recorded.event)
    return OrderDocument(order=order, updated_at=recorded.timestamp, version=recorded.version)


def _forgotten(order: Order) -> Order:
    """The order as its events read once the buyer's key is destroyed; what was sold to whom stays (C-2)."""
    return replace(
        order,
        shipping_address=PostalAddress(),
        billing_address=None,
        cancel_reason="",
        notes=tuple(replace(note, note="") for note in order.notes),
        returns=tuple(replace(each, reason="", rejection="") for each in order.returns),
        parcels=tuple(each.without_whereabouts() for each in order.parcels),
    )


def _row(document: OrderDocument) -> dict[str, Any]:
    order = document.order
    return {
        "number": order.number,
        "version": document.version,
        "account_id": order.account_id,
        "status": order.status.value,
        "payment_status": order.payment_status.value,
        "created_at": order.placed_at,
        "confirmed_at": order.confirmed_at,
        "shipped_at": shipped_at(order),
        "delivered_at": delivered_at(order),
        "total_minor": order.total.minor,
        "refunded_minor": order.refunded.minor,
        "units": sum(line.quantity for line in order.lines),
        "seller_ids": list(order.seller_ids),
        "sold": [sold_mark(parcel.seller_id, order.parcel_status(parcel)) for parcel in order.parcels],
        "tracking_numbers": [
            as_scanned(parcel.shipment.tracking_number)
            for parcel in order.parcels
            if parcel.shipment.tracking_number
        ],
        "body": encode(order_body(order, document.updated_at)),
    }


ORDER_LIST = Projection(
    name="orders",
    version=6,
    events=get_args(OrderEvent),
    document=OrderDocument,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=orders, row=_row),
    subjects=lambda document: (document.order.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
