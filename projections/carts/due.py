"""Which carts nobody has touched for long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from domain.kernel import CartId
from projections.ports import Reads


class IdleCart(msgspec.Struct, frozen=True):
    """A cart that holds something, and when somebody last did anything with it."""

    since: datetime
    cart_id: CartId


async def carts_idle_since(
    reads: Reads, before: datetime, after: IdleCart | None, limit: int
) -> Sequence[IdleCart]:
    """Those that nobody has touched since ``before``, the longest first, from the one behind ``after`` on."""
    behind = ""
    parameters: list[Any] = [before]
    if after is not None:
        behind = " AND (updated_at, key) > (%s, %s)"
        parameters += [after.since, after.cart_id]
    statement = (
        f"SELECT updated_at, key FROM carts WHERE filled AND updated_at <= %s{behind}"
        " ORDER BY updated_at, key LIMIT %s"
    )
    return [IdleCart(since, CartId(key)) for since, key in await reads.all(statement, *parameters, limit)]
