"""Questions to the wishlists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from projections.keyset import Piece, Question, Sorting, Values
from projections.ports import Reads
from projections.wire import time


class WishedProduct(msgspec.Struct, frozen=True, kw_only=True):
    """The entry has the product's number: there is one of each."""

    number: int
    product: bytes
    added_at: datetime

    def body(self, addressed: Callable[[bytes], bytes]) -> dict[str, Any]:
        """``addressed`` says where the product's pictures are."""
        return wish_body(self.number, msgspec.Raw(addressed(self.product)), self.added_at)


class WishlistPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    items: Sequence[WishedProduct]
    last: Values | None = None


_LAST_FIRST: Final = Sorting(by=("w.added_at", "p.number"), descending=True, types=("timestamptz", "bigint"))


async def wishlist_page(reads: Reads, account_id: UUID, piece: Piece) -> WishlistPage:
    """What somebody wishes for and can be seen now, the last first: the products as the catalogue has them."""
    question = Question(
        columns="p.number, p.body, w.added_at",
        source="wishlist_items w JOIN products p ON p.key = w.listing_id",
        where="w.account_id = %s AND p.visible",
        parameters=[account_id],
    )
    found = await question.ask(reads, _LAST_FIRST, piece)
    items = [WishedProduct(number=number, product=body, added_at=at) for number, body, at in found.rows]
    return WishlistPage(total=found.total, items=items, last=found.last)


async def wishes_of(reads: Reads, account_id: UUID) -> list[dict[str, Any]]:
    """All of them, also what cannot be seen for now: for whoever asks what is known of them."""
    rows = await reads.all(
        "SELECT p.number, p.title, w.added_at FROM wishlist_items w JOIN products p ON p.key = w.listing_id "
        "WHERE w.account_id = %s ORDER BY w.added_at, p.number",
        account_id,
    )
    return [{"productId": number, "product": title, "createdAt": time(at)} for number, title, at in rows]


def wish_body(number: int, product: Any, added_at: datetime) -> dict[str, Any]:
    return {"id": number, "productId": number, "product": product, "createdAt": time(added_at)}
