"""How carts are made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
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


def _fold(cart: Cart | None, recorded: Recorded[Any], _: UUID) -> Cart | None:
    if isinstance(recorded.event, AccountErased):
        return None
    if cart is None and not isinstance(recorded.event, CartOpened):
        return None  # the owner has been erased, whatever was under way
    after = Cart.evolve(cart, recorded.event)
    # Events did not always say when they happened; the log does.
    unsaid = getattr(recorded.event, "at", None) is None
    return replace(after, touched_at=recorded.timestamp) if unsaid else after


def _row(cart: Cart) -> dict[str, Any]:
    return {
        "listing_ids": list(cart.lines),
        "filled": cart.holds_something,
        "updated_at": cart.touched_at,
    }


CART_CONTENTS = Projection(
    name="carts",
    version=4,
    events=get_args(CartEvent),
    document=Cart,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=carts, row=_row),
    subjects=lambda cart: (cart.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
