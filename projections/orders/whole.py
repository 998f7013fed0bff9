"""An order as it is, for whoever tells of it what its own shape on the wire does not."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from domain.orders.order import Order
from projections.orders.order import OrderDocument
from projections.ports import Reads

_decode: Final = msgspec.json.Decoder(OrderDocument).decode


async def whole_order(reads: Reads, order_id: UUID) -> Order | None:
    row = await reads.one("SELECT document FROM orders WHERE key = %s", order_id)
    return None if row is None else _decode(row[0]).order
