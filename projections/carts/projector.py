"""How carts are made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID

from domain.accounts.events import AccountErased
from domain.carts.cart import Cart
from domain.carts.events import CartEvent, CartOpened
from domain.kernel import Recorded
from projections.projection import Projection, Rows, by_stream, read_model

carts = read_model("carts", Column("listing_ids", ARRAY(PG_UUID(as_uuid=True)), nullable=False))


def _fold(cart: Cart | None, recorded: Recorded[Any], _: UUID) -> Cart | None:
    if isinstance(recorded.event, AccountErased):
        return None
    if cart is None and not isinstance(recorded.event, CartOpened):
        return None  # the owner has been erased, whatever was under way
    return Cart.evolve(cart, recorded.event)


def _row(cart: Cart) -> dict[str, Any]:
    return {"listing_ids": list(cart.lines)}


CART_CONTENTS = Projection(
    name="carts",
    version=3,
    events=get_args(CartEvent),
    document=Cart,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=carts, row=_row),
    subjects=lambda cart: (cart.account_id,),
    concerning={AccountErased: lambda erased: erased.account_id},
)
