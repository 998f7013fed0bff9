"""Which carts nobody has touched for long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from domain.kernel import CartId
from projections.keyset import batch_of
from projections.ports import Reads


class IdleCart(msgspec.Struct, frozen=True):
    """A cart that holds something, and when somebody last did anything with it."""

    since: datetime
    cart_id: CartId


async def carts_idle_since(
    reads: Reads, before: datetime, after: IdleCart | None, limit: int
) -> Sequence[IdleCart]:
    """Those that nobody has touched since ``before``, the longest first, from the one behind ``after`` on."""
    rows = await batch_of(
        reads,
        "SELECT updated_at, key FROM carts WHERE filled AND updated_at <= %s",
        [before],
        by=("updated_at", "key"),
        after=None if after is None else (after.since, after.cart_id),
        most=limit,
    )
    return [IdleCart(since, CartId(key)) for since, key in rows]
