"""Questions to the list of shops."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.kernel import AccountId
from domain.sellers.events import SellerStatus, seller_of
from projections.follows.projector import follow_key
from projections.keyset import Piece, Question, Sorting, Values
from projections.ports import Reads
from projections.sellers.shop import FoundShop, Shop, Sold

_SHOP: Final = msgspec.json.Decoder(Shop)

# What the catalogue knows of each shop that the rest of a query has found.
_SOLD: Final = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.review_count), 0)::bigint AS reviews, coalesce(sum(p.rating_sum), 0)::bigint AS stars,
               count(*) FILTER (WHERE p.visible) AS products
        FROM products p WHERE p.seller_id = {shop}.key
    ) sold
"""
_COLUMNS: Final = "{shop}.document, sold.reviews, sold.stars, sold.products"


class SortSellers(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    FOLLOWERS = "followers"
    NAME = "name"


_ORDER: Final = {
    SortSellers.NEWEST: Sorting(by=("created_at", "key"), descending=True, types=("timestamptz", "uuid")),
    SortSellers.OLDEST: Sorting(by=("created_at", "key"), types=("timestamptz", "uuid")),
    SortSellers.FOLLOWERS: Sorting(
        by=("(- follower_count)", "created_at", "key"), types=("bigint", "timestamptz", "uuid")
    ),
    SortSellers.NAME: Sorting(by=("lower(shop_name)", "key"), types=("text", "uuid")),
}
_LAST_FOLLOWED: Final = Sorting(by=("f.followed_at", "s.key"), descending=True, types=("timestamptz", "uuid"))


class SellerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` none means any; ``words`` are looked for in the shop's name."""

    status: SellerStatus | None = SellerStatus.VERIFIED
    words: str = ""
    sort: SortSellers = SortSellers.NEWEST


class SellerPage(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match."""

    total: int
    shops: Sequence[FoundShop]
    last: Values | None = None


async def seller_by(reads: Reads, reference: int | UUID | str) -> FoundShop | None:
    """The shop of an account's integer id or uuid, of a seller's uuid, or of a slug (C37)."""
    match reference:
        case int():
            return await _one(reads, "s.number = %s", reference)
        case UUID():
            return await _one(reads, "s.key = ANY(%s)", [reference, seller_of(AccountId(reference))])
        case _:
            return await _one(reads, "s.slug = %s", reference)


async def sellers_page(reads: Reads, asked: SellerFilter, piece: Piece) -> SellerPage:
    conditions, parameters = ["true"], []
    if asked.status is not None:
        conditions.append("status = %s")
        parameters.append(asked.status.value)
    if asked.words:
        conditions.append("strpos(lower(shop_name), lower(%s)) > 0")
        parameters.append(asked.words)
    question = Question(
        columns="key, document",
        source="sellers",
        where=" AND ".join(conditions),
        parameters=parameters,
        beside=_SOLD.format(shop="page"),
        shown=_COLUMNS.format(shop="page"),
    )
    return await _page(reads, question, _ORDER[asked.sort], piece)


async def followed_by(reads: Reads, account_id: UUID, piece: Piece) -> SellerPage:
    """The sellers whom somebody follows, the last one first; those who are suspended for now are left out."""
    question = Question(
        columns="s.key, s.document",
        source="follows f JOIN sellers s ON s.key = f.seller_id",
        where="f.account_id = %s AND s.status = 'verified'",
        parameters=[account_id],
        beside=_SOLD.format(shop="page"),
        shown=_COLUMNS.format(shop="page"),
    )
    return await _page(reads, question, _LAST_FOLLOWED, piece)


async def _page(reads: Reads, question: Question, sorting: Sorting, piece: Piece) -> SellerPage:
    found = await question.ask(reads, sorting, piece)
    return SellerPage(total=found.total, shops=[_found(row) for row in found.rows], last=found.last)


async def follows_seller(reads: Reads, account_id: UUID, seller_id: UUID) -> bool:
    return (
        await reads.one("SELECT 1 FROM follows WHERE key = %s", follow_key(account_id, seller_id)) is not None
    )


async def follower_count_of(reads: Reads, seller_id: UUID) -> int:
    row = await reads.one("SELECT follower_count FROM sellers WHERE key = %s", seller_id)
    return 0 if row is None else row[0]


async def _one(reads: Reads, condition: str, value: Any) -> FoundShop | None:
    row = await reads.one(
        f"SELECT {_COLUMNS.format(shop='s')} FROM sellers s {_SOLD.format(shop='s')} WHERE {condition}", value
    )
    return None if row is None else _found(row)


def _found(row: tuple[Any, ...]) -> FoundShop:
    document, reviews, stars, products = row
    return FoundShop(
        shop=_SHOP.decode(document),
        sold=Sold(review_count=reviews, rating_sum=stars, product_count=products),
    )
