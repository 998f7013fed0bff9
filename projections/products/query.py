"""Questions to the catalogue."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import msgspec

from projections.ports import Reads

BY_NUMBER = "SELECT body, visible, seller_id FROM products WHERE number = %s"
BY_KEY = "SELECT body, visible, seller_id FROM products WHERE key = %s"
BY_SLUG = "SELECT body, visible, seller_id FROM products WHERE slug = %s"


class SortBy(StrEnum):
    PRICE = "price"
    RATING = "rating"
    TITLE = "title"
    ID = "id"


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"


class ProductFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which products, in which order (S2 §5.2). Prices in minor units; no ``sort_by`` means by id, or by relevance."""

    words: str = ""
    category: Sequence[str] = ()
    brand: Sequence[str] = ()
    min_price: int | None = None
    max_price: int | None = None
    in_stock: bool = False
    sort_by: SortBy | None = None
    order: Order = Order.ASC
    skip: int = 0
    limit: int = 10


class FoundProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product as ready bytes, and who may see it: everybody, or only its seller and admins."""

    body: bytes
    visible: bool
    seller_id: UUID


class ProductPage(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match; ``engine`` says who searched."""

    total: int
    bodies: Sequence[bytes]
    engine: str = "postgres"


class ProductSearch(Protocol):
    """Finds products by words, on whichever engine."""

    @property
    def read_model(self) -> str:
        """The projection whose position says how fresh an answer is."""
        ...

    async def search(self, asked: ProductFilter) -> ProductPage: ...


async def product_by(reads: Reads, reference: int | UUID | str) -> FoundProduct | None:
    """The product of an integer id, a uuid or a slug: one indexed fetch."""
    match reference:
        case int():
            row = await reads.one(BY_NUMBER, reference)
        case UUID():
            row = await reads.one(BY_KEY, reference)
        case _:
            row = await reads.one(BY_SLUG, reference)
    return None if row is None else FoundProduct(body=row[0], visible=row[1], seller_id=row[2])


async def products_page(reads: Reads, asked: ProductFilter) -> ProductPage:
    """The page and the number of all that match, in one round trip."""
    where, parameters = _where(asked)
    ranked = bool(asked.words) and asked.sort_by is None
    order = f"ts_rank(words, {_TSQUERY}) DESC, number" if ranked else _order(asked)
    statement = (
        f"SELECT (SELECT count(*) FROM products WHERE {where}), "
        f"ARRAY(SELECT body FROM products WHERE {where} ORDER BY {order} OFFSET %s LIMIT %s)"
    )
    ranking = [_prefixes(asked.words), asked.words] if ranked else []
    row = await reads.one(statement, *parameters, *parameters, *ranking, asked.skip, asked.limit)
    assert row is not None
    return ProductPage(total=row[0], bodies=row[1])


async def products_with_keys(reads: Reads, keys: Sequence[UUID]) -> list[bytes]:
    """The bodies of those that are visible, in the order of ``keys``."""
    rows = await reads.all("SELECT key, body FROM products WHERE key = ANY(%s) AND visible", list(keys))
    bodies = dict(rows)
    return [bodies[key] for key in keys if key in bodies]


class PostgresProductSearch:
    """Full-text search on the catalogue's own table: stemmed English, the last letters of a word may be missing."""

    read_model = "products"

    def __init__(self, reads: Reads) -> None:
        self._reads = reads

    async def search(self, asked: ProductFilter) -> ProductPage:
        return await products_page(self._reads, asked)


_TSQUERY = "(to_tsquery('english', %s) || plainto_tsquery('english', %s))"
"""Prefixes, or the words as Postgres itself parts them: to it, ``node.js`` is one and ``-15`` is a number."""

_SORT_COLUMNS = {
    SortBy.PRICE: "price_minor",
    SortBy.RATING: "rating",
    SortBy.TITLE: "title",
    SortBy.ID: "number",
}


def _where(asked: ProductFilter) -> tuple[str, list[Any]]:
    conditions = ["visible"]
    parameters: list[Any] = []
    for condition, value in (
        ("category = ANY(%s)", list(asked.category)),
        ("brand = ANY(%s)", list(asked.brand)),
        ("price_minor >= %s", asked.min_price),
        ("price_minor <= %s", asked.max_price),
    ):
        if value or value == 0:
            conditions.append(condition)
            parameters.append(value)
    if asked.in_stock:
        conditions.append("stock > 0")
    if prefixes := _prefixes(asked.words):
        conditions.append(f"words @@ {_TSQUERY}")
        parameters += (prefixes, asked.words)
    elif asked.words:
        conditions.append("false")
    return " AND ".join(conditions), parameters


def _order(asked: ProductFilter) -> str:
    column = _SORT_COLUMNS[asked.sort_by or SortBy.ID]
    direction = "DESC" if asked.order is Order.DESC else "ASC"
    return f"{column} {direction}, number"


def _prefixes(words: str) -> str:
    """``red lip`` → ``red:* & lip:*``; nothing where there is no word at all."""
    return " & ".join(f"{word}:*" for word in re.findall(r"\w+", words))
