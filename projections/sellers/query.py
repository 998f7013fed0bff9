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
from projections.pieces import has_part
from projections.ports import Reads
from projections.sellers.shop import FoundShop, Shop, Sold

_SHOP: Final = msgspec.json.Decoder(Shop)

# What the catalogue knows of each shop that the rest of a query has found.
_SOLD: Final = """
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(p.review_count), 0)::bigint AS reviews, coalesce(sum(p.rating_sum), 0)::bigint AS stars,
               count(*) FILTER (WHERE p.visible) AS products
        FROM products p WHERE p.seller_id = s.key
    ) sold
"""
_COLUMNS: Final = "s.document, sold.reviews, sold.stars, sold.products"


class SortSellers(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    FOLLOWERS = "followers"
    NAME = "name"


_ORDER: Final = {
    SortSellers.NEWEST: "s.created_at DESC, s.key DESC",
    SortSellers.OLDEST: "s.created_at, s.key",
    SortSellers.FOLLOWERS: "(- s.follower_count), s.created_at, s.key",
    SortSellers.NAME: "lower(s.shop_name), s.key",
}


class SellerFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``status`` none means any; ``words`` are looked for in the shop's name."""

    status: SellerStatus | None = SellerStatus.VERIFIED
    words: str = ""
    sort: SortSellers = SortSellers.NEWEST
    skip: int = 0
    limit: int = 20


class SellerPage(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match."""

    total: int
    shops: Sequence[FoundShop]


async def seller_by(reads: Reads, reference: int | UUID | str) -> FoundShop | None:
    """The shop of an account's integer id or uuid, of a seller's uuid, or of a slug (C37)."""
    match reference:
        case int():
            return await _one(reads, "s.number = %s", reference)
        case UUID():
            return await _one(reads, "s.key = ANY(%s)", [reference, seller_of(AccountId(reference))])
        case _:
            return await _one(reads, "s.slug = %s", reference)


async def sellers_page(reads: Reads, asked: SellerFilter) -> SellerPage:
    conditions, parameters = ["true"], list[Any]()
    if asked.status is not None:
        conditions.append("s.status = %s")
        parameters.append(asked.status.value)
    if asked.words:
        found, given = has_part("s.shop_name", asked.words)
        conditions += found
        parameters += given
    where = " AND ".join(conditions)
    counted = await reads.one(f"SELECT count(*) FROM sellers s WHERE {where}", *parameters)
    assert counted is not None
    rows = await reads.all(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT s.key, s.document, s.created_at, s.follower_count, s.shop_name
            FROM sellers s WHERE {where} ORDER BY {_ORDER[asked.sort]} OFFSET %s LIMIT %s
        ) s {_SOLD} ORDER BY {_ORDER[asked.sort]}
        """,
        *parameters,
        asked.skip,
        asked.limit,
    )
    return SellerPage(total=counted[0], shops=[_found(row) for row in rows])


async def followed_by(reads: Reads, account_id: UUID, skip: int, limit: int) -> SellerPage:
    """The sellers whom somebody follows, the last one first; those who are suspended for now are left out."""
    counted = await reads.one(
        "SELECT count(*) FROM follows f JOIN sellers s ON s.key = f.seller_id "
        "WHERE f.account_id = %s AND s.status = 'verified'",
        account_id,
    )
    assert counted is not None
    rows = await reads.all(
        f"""
        SELECT {_COLUMNS} FROM (
            SELECT s.key, s.document, f.followed_at
            FROM follows f JOIN sellers s ON s.key = f.seller_id
            WHERE f.account_id = %s AND s.status = 'verified'
            ORDER BY f.followed_at DESC, s.key OFFSET %s LIMIT %s
        ) s {_SOLD} ORDER BY s.followed_at DESC, s.key
        """,
        account_id,
        skip,
        limit,
    )
    return SellerPage(total=counted[0], shops=[_found(row) for row in rows])


async def follows_seller(reads: Reads, account_id: UUID, seller_id: UUID) -> bool:
    return (
        await reads.one("SELECT 1 FROM follows WHERE key = %s", follow_key(account_id, seller_id)) is not None
    )


async def follower_count_of(reads: Reads, seller_id: UUID) -> int:
    row = await reads.one("SELECT follower_count FROM sellers WHERE key = %s", seller_id)
    return 0 if row is None else row[0]


async def _one(reads: Reads, condition: str, value: Any) -> FoundShop | None:
    row = await reads.one(f"SELECT {_COLUMNS} FROM sellers s {_SOLD} WHERE {condition}", value)
    return None if row is None else _found(row)


def _found(row: tuple[Any, ...]) -> FoundShop:
    document, reviews, stars, products = row
    return FoundShop(
        shop=_SHOP.decode(document),
        sold=Sold(review_count=reviews, rating_sum=stars, product_count=products),
    )
