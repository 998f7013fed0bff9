"""Questions to the catalogue."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

import msgspec

from projections.ports import Reads

BY_NUMBER = "SELECT body, visible, seller_id FROM products WHERE number = %s"
BY_KEY = "SELECT body, visible, seller_id FROM products WHERE key = %s"
BY_SLUG = "SELECT body, visible, seller_id FROM products WHERE slug = %s"


class SortBy(StrEnum):
    """``id`` is the order in which they came, ``distance`` needs a place to be near to."""

    PRICE = "price"
    RATING = "rating"
    TITLE = "title"
    ID = "id"
    DISTANCE = "distance"


class Order(StrEnum):
    ASC = "asc"
    DESC = "desc"


class Near(msgspec.Struct, frozen=True, kw_only=True):
    """A place, in degrees, and how far from it something may be, in kilometres; none is anywhere."""

    lat: float
    lng: float
    kilometres: float | None = None


class Mark(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended: the sort values of its last product, its integer id last. What follows goes on from there.

    ``engine`` is who made it, because relevance is a number of each engine's own; ``seen`` is how many came before,
    for the engine that must go on without understanding the values; ``snapshot`` is what an engine calls the state
    that it pages through, if it keeps one.
    """

    engine: str
    values: tuple[int | float | str, ...]
    seen: int = 0
    snapshot: str = ""


class ProductFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which products, in which order (S2 §5.2, C22). Prices in minor units; ``none`` and empty mean any.

    ``categories`` are ids, those below included; an empty list is a category with nothing in it. ``attributes`` are
    the values that are wanted of each key, any of them. No ``sort_by`` means by id, or by relevance where there are
    ``words``. ``after`` goes on behind a page instead of skipping. ``facets`` are the fields to be counted by:
    ``category``, ``brand``, ``price`` and keys of attributes; ``every_facet`` asks for all that there are.
    """

    words: str = ""
    categories: Sequence[UUID] | None = None
    category: Sequence[str] = ()
    listings: Sequence[UUID] | None = None
    seller: UUID | None = None
    brand: Sequence[str] = ()
    tags: Sequence[str] = ()
    attributes: Mapping[str, Sequence[str]] = msgspec.field(default_factory=dict)
    min_price: int | None = None
    max_price: int | None = None
    min_rating: float | None = None
    in_stock: bool = False
    near: Near | None = None
    sort_by: SortBy | None = None
    order: Order = Order.ASC
    skip: int = 0
    limit: int = 10
    after: Mark | None = None
    counted: bool = True
    facets: Sequence[str] = ()
    every_facet: bool = False
    highlighted: bool = False


class FoundProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product as ready bytes, and who may see it: everybody, or only its seller and admins."""

    body: bytes
    visible: bool
    seller_id: UUID


class FacetValue(msgspec.Struct, frozen=True, kw_only=True):
    """``value`` is a brand, a category's uuid, an attribute's value, or the lower bound of a range of prices."""

    value: str
    count: int


class Facet(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the products that match have which value: the commonest first, prices ascending.

    Its own field's filter does not narrow it, so that shoppers see what else they could choose.
    """

    name: str
    values: Sequence[FacetValue]


class ProductPage(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match, none where nobody asked; ``engine`` says who searched.

    ``keys`` are the listings of the page. ``last`` is where it ended, if something follows. ``highlights`` are by
    listing and field: pieces of text with the words that were found between ``<mark>`` and ``</mark>``; all else in
    them is escaped as HTML.
    """

    bodies: Sequence[bytes]
    total: int | None = None
    engine: str = "postgres"
    keys: Sequence[UUID] = ()
    last: Mark | None = None
    facets: Sequence[Facet] = ()
    highlights: Mapping[UUID, Mapping[str, Sequence[str]]] = msgspec.field(default_factory=dict)


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody who types may mean: ``kind`` is ``product``, ``brand`` or ``category``; ``slug`` leads there."""

    text: str
    kind: str
    slug: str = ""


class ProductSearch(Protocol):
    """Finds products by words, on whichever engine."""

    @property
    def read_model(self) -> str:
        """The projection whose position says how fresh an answer is."""
        ...

    async def search(self, asked: ProductFilter) -> ProductPage: ...

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        """What begins with, or nearly with, what somebody has typed so far; the best first."""
        ...


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

    async def suggest(self, beginning: str, limit: int) -> Sequence[Suggestion]:
        raise NotImplementedError


_TSQUERY = "(to_tsquery('english', %s) || plainto_tsquery('english', %s))"
"""Prefixes, or the words as Postgres itself parts them: to it, ``node.js`` is one and ``-15`` is a number."""

_SORT_COLUMNS = {
    SortBy.PRICE: "price_minor",
    SortBy.RATING: "rating",
    SortBy.TITLE: "title",
    SortBy.ID: "number",
    SortBy.DISTANCE: "number",
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
