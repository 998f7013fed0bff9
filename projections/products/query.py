"""Questions to the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol
from uuid import UUID

import msgspec
from msgspec.structs import replace

from projections.keyset import ANY, Condition, Piece, Question, Sorting, Values
from projections.ports import Reads
from projections.products.product import spellings


class SortBy(StrEnum):
    """``id`` is the order in which they came, ``distance`` needs a place to be near to.

    ``manual`` is the order of the ``listings`` that are asked for.
    """

    PRICE = "price"
    RATING = "rating"
    TITLE = "title"
    ID = "id"
    DISTANCE = "distance"
    MANUAL = "manual"


class Direction(StrEnum):
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


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What sellers and admins ask of the listings that they keep. None and empty mean any.

    ``deleted`` none means both; ``moderation`` is ``visible``, ``hidden`` or ``removed``.
    """

    status: Sequence[str] = ()
    moderation: str = ""
    flag: str = ""
    deleted: bool | None = None


_COMPARABLE: Final = frozenset({SortBy.PRICE, SortBy.RATING, SortBy.ID})
"""Orders whose values are the same numbers on any engine."""


class ProductFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which products, in which order (S2 §5.2, C22). Prices in minor units; ``none`` and empty mean any.

    ``categories`` are ids, those below included; an empty list is a category with nothing in it. ``attributes`` are
    the values that are wanted of each key, any of them. No ``sort_by`` means by id, or by relevance where there are
    ``words``. ``after`` goes on behind a page instead of skipping. ``facets`` are the fields to be counted by:
    ``category``, ``brand``, ``price`` and keys of attributes; ``every_facet`` asks for all that there are. Those that
    not everybody finds are among them only where ``kept`` says which.
    """

    words: str = ""
    categories: Sequence[UUID] | None = None
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
    order: Direction = Direction.ASC
    skip: int = 0
    limit: int = 10
    after: Mark | None = None
    counted: bool = True
    kept: Kept | None = None
    facets: Sequence[str] = ()
    every_facet: bool = False
    highlighted: bool = False


def is_understood(asked: ProductFilter, mark: Mark, engine: str) -> bool:
    """Whether the mark's values mean to this engine what they meant to the one that made it."""
    if mark.engine == engine:
        return True
    return (asked.sort_by or (None if asked.words else SortBy.ID)) in _COMPARABLE


class FoundProduct(msgspec.Struct, frozen=True, kw_only=True):
    """A product as ready bytes; everybody may read it (``readable``), or only who keeps it.

    ``kept`` is what its seller and admins read besides, as ready bytes, too. ``seller`` is the state of its shop, if
    there is any. With ``moved_from`` it was asked for by a slug that it had before.
    """

    key: UUID
    body: bytes
    kept: bytes
    version: int
    slug: str
    readable: bool
    deleted: bool
    seller_id: UUID
    seller: bytes | None = None
    moved_from: str = ""


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

    ``keys`` are the listings of the page; ``kept`` is what those who keep them read besides. ``last`` is where it
    ended, if something follows. ``highlights`` are by listing and field: pieces of text with the words that were found
    between ``<mark>`` and ``</mark>``; all else in them is escaped as HTML.
    """

    bodies: Sequence[bytes]
    total: int | None = None
    engine: str = "postgres"
    keys: Sequence[UUID] = ()
    kept: Sequence[bytes] = ()
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


_FOUND: Final = """
    SELECT p.key, p.body, p.kept, p.version, p.slug, p.readable, p.deleted, p.seller_id, s.document
    FROM products p LEFT JOIN sellers s ON s.key = p.seller_id
"""
BY_NUMBER: Final = f"{_FOUND} WHERE p.number = %s"
BY_KEY: Final = f"{_FOUND} WHERE p.key = %s"
BY_SLUG: Final = f"{_FOUND} WHERE p.slug = %s"
BY_FORMER_SLUG: Final = f"{_FOUND} WHERE p.former_slugs @> ARRAY[%s]"


async def product_by(reads: Reads, reference: int | UUID | str) -> FoundProduct | None:
    """The product of an integer id, a uuid or a slug: one indexed fetch, and one more for a slug that it had before."""
    moved_from = ""
    match reference:
        case int():
            row = await reads.one(BY_NUMBER, reference)
        case UUID():
            row = await reads.one(BY_KEY, reference)
        case _:
            row = await reads.one(BY_SLUG, reference)
            if row is None:
                row = await reads.one(BY_FORMER_SLUG, reference)
                moved_from = reference
    if row is None:
        return None
    key, body, kept, version, slug, readable, deleted, seller_id, seller = row
    return FoundProduct(
        key=key,
        body=body,
        kept=kept,
        version=version,
        slug=slug,
        readable=readable,
        deleted=deleted,
        seller_id=seller_id,
        seller=seller,
        moved_from=moved_from,
    )


async def products_page(reads: Reads, asked: ProductFilter) -> ProductPage:
    """The page and, where it is asked for, the number of all that match: in one round trip."""
    question, sorting, piece = product_question(asked)
    found = await question.ask(reads, sorting, piece)
    keys = [row[0] for row in found.rows]
    last = found.last
    if last is not None and asked.sort_by is SortBy.MANUAL:
        # Where it is now, with those before it, on whichever page they were.
        so_far = list(asked.listings or ())[: int(last[0])]
        last = (*last, *(str(key) for key in so_far[: -_REMEMBERED - 1 : -1]))
    seen = (asked.after.seen if asked.after else asked.skip) + len(keys)
    return ProductPage(
        total=found.total if asked.counted else None,
        bodies=[row[1] for row in found.rows],
        kept=[] if asked.kept is None else [row[2] for row in found.rows],
        keys=keys,
        last=None if last is None else Mark(engine="postgres", values=last, seen=seen),
    )


def product_question(asked: ProductFilter) -> tuple[Question, Sorting, Piece]:
    assert not asked.words, "those are looked for by who searches"
    # Only of what everybody finds there is an index by categories that makes the difference.
    is_split = asked.categories is not None and asked.kept is None
    conditions, parameters = conditions_of(replace(asked, categories=None) if is_split else asked)
    source, arranged = "products", list[Any]()
    if asked.sort_by is SortBy.MANUAL:
        source += " JOIN unnest(%s::uuid[]) WITH ORDINALITY AS arranged(listing, place) ON listing = key"
        arranged = [list(asked.listings or ())]
    sorting = _sorting(asked)
    question = Question(
        columns="number",
        # An index tells the order: so only what is on the page is looked up.
        beside=f"LEFT JOIN products shown ON shown.number = page.by_{len(sorting.by) - 1}",
        shown="shown.key, shown.body" if asked.kept is None else "shown.key, shown.body, shown.kept",
        either=_in_one_of(asked.categories or ()) if is_split else ANY,
        source=source,
        where=" AND ".join(conditions),
        parameters=parameters,
        source_parameters=arranged,
    )
    piece = Piece(skip=asked.skip, limit=asked.limit, after=values_behind(asked), counted=asked.counted)
    return question, sorting, piece


def _in_one_of(categories: Sequence[UUID]) -> Sequence[Condition]:
    """Either it belongs into one of them first of all, or it is only found there besides.

    Mostly it is one category, and that is quicker to send, and to plan, than an array of one.
    """
    if len(categories) == 1:
        (one,) = categories
        first, second = "category_id = %s", "second_category_id = %s AND category_id <> %s"
        more = "more_category_ids @> ARRAY[%s]::uuid[] AND category_id <> %s AND second_category_id <> %s"
        return ((first, (one,)), (second, (one, one)), (more, (one, one, one)))
    wanted = list(categories)
    first, second = "category_id = ANY(%s)", "second_category_id = ANY(%s) AND category_id <> ALL(%s)"
    more = "more_category_ids && %s AND category_id <> ALL(%s) AND second_category_id <> ALL(%s)"
    return ((first, (wanted,)), (second, (wanted, wanted)), (more, (wanted, wanted, wanted)))


async def products_with_keys(reads: Reads, keys: Sequence[UUID]) -> dict[UUID, bytes]:
    """The bodies of those that are visible."""
    return dict(await reads.all("SELECT key, body FROM products WHERE key = ANY(%s) AND visible", list(keys)))


def conditions_of(asked: ProductFilter) -> tuple[list[str], list[Any]]:
    """What a product must fulfil but for having the words in it: conditions, and a value for each ``%s`` in them."""
    conditions, parameters = (["visible"], []) if asked.kept is None else _kept(asked.kept)
    for condition, value in (
        ("category_ids && %s", asked.categories),
        ("key = ANY(%s)", asked.listings),
    ):
        if value is not None:
            conditions.append(condition)
            parameters.append(list(value))
    for condition, names in (("brand = ANY(%s)", asked.brand), ("tag_list && %s", asked.tags)):
        if names:
            conditions.append(condition)
            parameters.append(list(names))
    for condition, bound in (
        ("seller_id = %s", asked.seller),
        ("price_minor >= %s", asked.min_price),
        ("price_minor <= %s", asked.max_price),
        ("rating >= %s", asked.min_rating),
    ):
        if bound is not None:
            conditions.append(condition)
            parameters.append(bound)
    for key, wanted in asked.attributes.items():
        conditions.append("facts && %s")
        parameters.append([f"{key}={each}" for value in wanted for each in spellings(value)])
    if asked.in_stock:
        conditions.append("in_stock")
    if asked.near is not None and asked.near.kilometres is not None:
        within, around = _within(asked.near, asked.near.kilometres)
        conditions += within
        parameters += around
    return conditions, parameters


def distance_from(near: Near) -> tuple[str, list[Any]]:
    """Kilometres to a product along the surface of the earth, taken for a ball (haversine).

    What is at no known place is farther away than anything.
    """
    return f"coalesce({_DISTANCE}, {_NOWHERE})", [near.lat, near.lat, near.lng]


_SORT_COLUMNS = {
    SortBy.PRICE: "price_minor",
    SortBy.RATING: "rating",
    SortBy.TITLE: "title",
}


def _sorting(asked: ProductFilter) -> Sorting:
    descending = asked.order is Direction.DESC
    if asked.sort_by is SortBy.DISTANCE and asked.near is not None:
        distance, place = distance_from(asked.near)
        return Sorting(by=(distance, "number"), descending=descending, parameters=place)
    if asked.sort_by is SortBy.MANUAL:
        return Sorting(by=("place", "number"), descending=descending)
    column = _SORT_COLUMNS.get(asked.sort_by or SortBy.ID)
    if column is None:
        return Sorting(by=("number",), descending=descending)
    if descending and column != "title":
        # What is alike is in the order in which it came, as in DummyJSON (C22); a text has no opposite.
        return Sorting(by=(f"(- {column})", "number"))
    return Sorting(by=(column, "number"), descending=descending)


_REMEMBERED: Final = 10
"""Of an arranged list: some may be taken out, and those behind them move up, before the next page is asked for."""


def values_behind(asked: ProductFilter) -> Values | None:
    """The mark, if there is one. Where products are arranged it is the last of its page that is there by now."""
    if asked.after is None or asked.sort_by is not SortBy.MANUAL:
        return None if asked.after is None else asked.after.values
    last, _, *page = asked.after.values
    by_now = {str(listing): place for place, listing in enumerate(asked.listings or (), start=1)}
    for before, key in enumerate(page):
        # One that is farther behind than it was has been taken out and put in again.
        if (place := by_now.get(str(key))) is not None and place <= int(last) - before:
            return (place, _HIGHEST)
    return (int(last) - len(page), _HIGHEST)


_HIGHEST: Final = 2**63 - 1


def _kept(kept: Kept) -> tuple[list[str], list[Any]]:
    conditions, parameters = ["true"], list[Any]()
    if kept.status:
        conditions.append("status = ANY(%s)")
        parameters.append(list(kept.status))
    if kept.moderation:
        conditions.append("moderation = %s")
        parameters.append(kept.moderation)
    if kept.flag:
        conditions.append("flags @> %s")
        parameters.append([kept.flag])
    if kept.deleted is not None:
        conditions.append("deleted" if kept.deleted else "NOT deleted")
    return conditions, parameters


_NOWHERE: Final = 50_000.0
_DISTANCE: Final = (
    "(12742.0176 * asin(least(1, sqrt(power(sin(radians(lat - %s) / 2), 2) + "
    "cos(radians(%s)) * cos(radians(lat)) * power(sin(radians(lng - %s) / 2), 2)))))"
)

_KM_PER_DEGREE: Final = 111.19
"""Of latitude; of longitude at the equator, and less elsewhere."""


def _within(near: Near, kilometres: float) -> tuple[list[str], list[Any]]:
    """Near enough, and first of all in a box around the place, which an index knows."""
    distance, place = distance_from(near)
    high = kilometres / _KM_PER_DEGREE
    conditions = ["lat IS NOT NULL", "lat BETWEEN %s AND %s"]
    parameters: list[Any] = [near.lat - high, near.lat + high]
    narrowest = math.cos(math.radians(min(90.0, abs(near.lat) + high)))
    if narrowest * 180 > high:  # else a pole is in it, or the whole circle
        wide = high / narrowest
        conditions.append("(lng BETWEEN %s AND %s OR lng >= %s OR lng <= %s)")
        parameters += [near.lng - wide, near.lng + wide, near.lng - wide + 360, near.lng + wide - 360]
    conditions.append(f"{distance} <= %s")
    return conditions, [*parameters, *place, kilometres]
