"""How carts are made."""

from __future__ import annotations

from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import msgspec
from sqlalchemy import Boolean, Column, DateTime, Index, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from domain.accounts.events import AccountErased
from domain.carts.cart import Cart
from domain.carts.events import CartEvent, CartOpened
from domain.kernel import Recorded
from projections.projection import Projection, Rows, by_stream, read_model

carts = read_model(
    "carts",
    Column("listing_ids", ARRAY(PG_UUID(as_uuid=True)), nullable=False),
    Column("filled", Boolean, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("idx_carts_idle", "updated_at", "key", postgresql_where=text("filled")),
)


class KeptCart(msgspec.Struct, frozen=True, kw_only=True):
    """``updated_at`` is when something was last done with it, as far back as the log goes."""

    cart: Cart
    updated_at: datetime


def _fold(kept: KeptCart | None, recorded: Recorded[Any], _: UUID) -> KeptCart | None:
    if isinstance(recorded.event, AccountErased):
        return None
    if kept is None and not isinstance(recorded.event, CartOpened):
        return None  # the owner has been erased, whatever was under way
    cart = Cart.evolve(None if kept is None else kept.cart, recorded.event)
    at = getattr(recorded.event, "at", None)
    return KeptCart(cart=cart, updated_at=recorded.timestamp if at is None else at)


def _row(kept: KeptCart) -> dict[str, Any]:
    return {
        "listing_ids": list(kept.cart.lines),
        "filled": kept.cart.holds_something,
        "updated_at": kept.updated_at,
    }


CART_CONTENTS = Projection(
    name="carts",
    version=4,
    events=get_args(CartEvent),
    document=KeptCart,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=carts, row=_row),
    subjects=lambda kept: (kept.cart.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
