"""Lists of products: what they can be asked for, in every spelling of the contract's documents (C8, C22)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar.response.base import ASGIResponse
from msgspec import Meta, Raw
from msgspec.structs import replace

from api.authentication import Connection, reader
from api.backend import BackendParts
from api.input import Check, Faults, PriceBound
from api.paging import CursorQuery, paged
from api.ready import ANY_PRODUCT, CATEGORIES, COLLECTIONS, SELLERS, share
from api.wire import answer, encode
from application.errors import AuthenticationError
from application.slugs import reference_kind
from domain.categories.category import Category
from domain.kernel import CategoryId, ForbiddenError, InvalidInputError, SellerId
from domain.listings.listing import COMMON
from domain.money import minor_units
from domain.sellers.events import seller_of
from projections.categories.query import Categories, with_descendants
from projections.collections.query import collection_by
from projections.ports import StaleReadError
from projections.products.effects import IN_STOCK, LISTED, RATED
from projections.products.query import (
    Direction,
    Facet,
    Kept,
    Near,
    ProductFilter,
    ProductPage,
    SortBy,
    products_page,
)
from projections.sellers.query import seller_by

_SORTS: Final[Mapping[str, tuple[SortBy | None, Direction]]] = {
    "price_asc": (SortBy.PRICE, Direction.ASC),
    "price_desc": (SortBy.PRICE, Direction.DESC),
    "rating_asc": (SortBy.RATING, Direction.ASC),
    "rating_desc": (SortBy.RATING, Direction.DESC),
    "title_asc": (SortBy.TITLE, Direction.ASC),
    "title_desc": (SortBy.TITLE, Direction.DESC),
    "newest": (SortBy.ID, Direction.DESC),
    "oldest": (SortBy.ID, Direction.ASC),
    "distance": (SortBy.DISTANCE, Direction.ASC),
    "relevance": (None, Direction.ASC),
    "manual": (SortBy.MANUAL, Direction.ASC),
}

_NAMES: Final = {
    "search": "q",
    "text": "q",
    "categoryId": "category",
    "categories": "category",
    "collectionId": "collection",
    "collections": "collection",
    "sellerId": "seller",
    "tag": "tags",
    "brands": "brand",
    "latitude": "lat",
    "longitude": "lng",
    "lon": "lng",
    "radius": "distance",
    "moderationStatus": "moderation",
    "flags": "flag",
    "isDeleted": "deleted",
}
"""Other names of the same parameters; where ours is given, too, it wins over them."""

_BOUNDS: Final = {
    "price[gte]": "minPrice",
    "price[min]": "minPrice",
    "price[lte]": "maxPrice",
    "price[max]": "maxPrice",
    "rating[gte]": "minRating",
}
_ONLY_S3: Final = frozenset({"seller_id", "category_id", "search", "sort"})
"""Whoever asks by these, and does not say for which piece, knows pages and nothing else (C8)."""

_PIECES: Final = frozenset({"page", "skip", "cursor"})
_COMMON: Final = tuple(attribute.key for attribute in COMMON)
_RANGE: Final = re.compile(r"(\d+(?:\.\d+)?)?-(\d+(?:\.\d+)?)?")
_KEY: Final = re.compile(r"attributes\[(\w{1,64})\]")
_EARTH: Final = 20_040
"""Kilometres: nothing is farther away."""

MOST_NAMED: Final = 30
"""Of what costs a question of its own each: one request is not to ask hundreds."""


def _named_faults(names: str) -> list[str]:
    return [f"Must name at most {MOST_NAMED}"] if len(values(names)) > MOST_NAMED else []


Names = Annotated[str, Meta(max_length=1_000)]
FewNames = Annotated[str, Meta(max_length=1_000), Check(_named_faults)]


def _status_faults(statuses: str) -> list[str]:
    unknown = set(values(statuses)) - {"draft", "active", "sold", "expired"}
    return ["Must be draft, active, sold or expired"] if unknown else []


class ProductQuery(CursorQuery, frozen=True, kw_only=True):
    """``q``, ``search`` and ``text`` are one, as are ``category``, ``categoryId`` and ``category_id``, and so on.

    ``category``, ``collection`` and ``seller`` are integer ids, uuids or slugs; a category includes what is below it.
    What takes several values takes them with commas, or repeated. ``price`` is a range such as ``10-50``, ``10-``,
    ``-50``; ``attributes[key]=a,b`` asks for any of these values. ``distance`` is in kilometres and needs ``lat`` and
    ``lng``. ``status`` is for one's own listings. ``sort`` is one word for ``sortBy`` and ``order``. ``select`` names
    the fields to be answered with. ``facets`` are to be counted by: ``true`` for all that there are, or their names.
    """

    q: Annotated[str, Meta(max_length=200)] = ""
    category: Names = ""
    collection: FewNames = ""
    seller: Annotated[str, Meta(max_length=100)] = ""
    brand: Names = ""
    tags: Names = ""
    min_price: PriceBound | None = None
    max_price: PriceBound | None = None
    min_rating: Annotated[float, Meta(ge=0, le=5)] | None = None
    in_stock: bool = False
    attributes: Annotated[dict[str, Names], Meta(max_length=20)] = msgspec.field(default_factory=dict)
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lng: Annotated[float, Meta(ge=-180, le=180)] | None = None
    distance: Annotated[float, Meta(gt=0, le=_EARTH)] | None = None
    status: Annotated[str, Meta(max_length=100), Check(_status_faults)] = ""
    sort_by: SortBy | None = None
    order: Direction = Direction.ASC
    sort: str = ""
    select: Names = ""
    facets: FewNames = ""
    highlight: bool = False

    @classmethod
    def read(cls, given: Mapping[str, str]) -> Mapping[str, Any]:
        asked: dict[str, Any] = {}
        attributes: dict[str, str] = {}
        for name, value in given.items():
            if (key := _KEY.fullmatch(name)) is not None:
                attributes[key[1]] = value
            elif name in _COMMON:
                attributes.setdefault(name, value)
            elif name == "price":
                asked |= _range(value)
            else:
                ours = _BOUNDS.get(name, _NAMES.get(name, name))
                if ours == name or ours not in asked:
                    asked[ours] = value
        return {**asked, "attributes": attributes} if attributes else asked

    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        faults: Faults = {}
        has_place = {"lat", "lng"} <= given.keys()
        if not has_place and given.keys() & {"lat", "lng", "distance"}:
            faults = {name: ["Is required"] for name in ("lat", "lng") if name not in given}
        by_distance = "distance" in (given.get("sort"), given.get("sortBy"))
        if by_distance and not has_place:
            faults["sort" if given.get("sort") == "distance" else "sortBy"] = ["Needs lat and lng"]
        if given.get("sort", "newest") not in _SORTS:
            faults["sort"] = [f"Must be one of {', '.join(_SORTS)}"]
        return faults

    @property
    def sorting(self) -> tuple[SortBy | None, Direction]:
        return _SORTS[self.sort] if self.sort else (self.sort_by, self.order)

    @property
    def counts_facets(self) -> bool:
        return self.facets not in ("", "false")

    @property
    def near(self) -> Near | None:
        if self.lat is None or self.lng is None:
            return None
        return Near(lat=self.lat, lng=self.lng, kilometres=self.distance)


class SearchQuery(ProductQuery, frozen=True, kw_only=True):
    @classmethod
    def absent(cls, given: Mapping[str, Any]) -> Faults:
        missing = {} if "q" in given else {"q": ["Is required"]}
        return {**missing, **super().absent(given)}


class KeptProductQuery(ProductQuery, frozen=True, kw_only=True):
    """Besides, for admins: ``moderation`` (visible, hidden, removed), ``flag``, ``deleted``; any where not given."""

    moderation: Annotated[str, Meta(pattern="^(visible|hidden|removed)$")] = ""
    flag: Annotated[str, Meta(max_length=100)] = ""
    deleted: bool | None = None


class Shelf(msgspec.Struct, frozen=True, kw_only=True):
    """Products that a path names, before anything is asked of them.

    ``name`` is what the list is called in cursors, ``manual`` whether somebody has arranged it.
    """

    name: str = "products"
    categories: Sequence[Category] | None = None
    listings: Sequence[UUID] | None = None
    manual: bool = False


CATALOGUE: Final = Shelf()


def values(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def with_pages_of_s3(connection: Connection, asked: ProductQuery) -> ProductQuery:
    names = {
        name
        for name, _ in parse_qsl(connection.scope["query_string"].decode("latin-1"), keep_blank_values=True)
    }
    return replace(asked, page=1) if names & _ONLY_S3 and not names & _PIECES else asked


async def list_products(
    connection: Connection,
    asked: ProductQuery,
    backend: BackendParts,
    *,
    shelf: Shelf = CATALOGUE,
    position: int | None = None,
) -> ASGIResponse:
    """What everybody finds of it; of one's own listings, with ``status`` or ``seller=me``, all that there are.

    ``position`` is how far those read models were that the shelf was taken from.
    """
    asked = with_pages_of_s3(connection, asked)
    question = _Question(connection, backend, asked, shelf, position)
    wanted = await question.wanted()
    if wanted is None:
        if question.is_everybodys:
            share(connection, on=CATEGORIES | COLLECTIONS | SELLERS)
        nothing = paged("products", (), asked, total=0, next_cursor=None)
        return answer(nothing, position=question.position or 0)
    engine = ""
    if asked.q or wanted.facets or wanted.every_facet:
        searched, found = await search(connection, wanted, backend)
        question.includes(searched)
        engine = found.engine
    else:
        question.includes(await backend.reading.fresh(connection, "products"))
        found = await _counted_page(wanted, backend)
    entries = _entries(found, asked, backend, notes=question.shows_notes)
    more = {"facets": _facet_bodies(found.facets, question.categories)} if asked.counts_facets else {}
    body = paged(
        "products",
        entries,
        asked,
        total=found.total,
        next_cursor=backend.cursors.seal(found.last, question.belongs_to),
        **more,
    )
    # What OpenSearch finds may be behind the catalogue, and what stands in for it is not to outlast its absence.
    if wanted.kept is None and (not engine or backend.read.opensearch is None):
        share(connection, shows=found.keys, on=question.concern | _concern(wanted))
    headers = ((b"x-search-engine", engine.encode()),) if engine else ()
    return answer(body, position=question.position or 0, headers=headers)


def _concern(wanted: ProductFilter) -> frozenset[str]:
    """What may put a product into this list, or elsewhere in it, that it does not show now."""
    if wanted.words or wanted.facets or wanted.every_facet:
        return ANY_PRODUCT
    concern = {LISTED}
    if wanted.in_stock:
        concern.add(IN_STOCK)
    if wanted.sort_by is SortBy.RATING or wanted.min_rating is not None:
        concern.add(RATED)
    return frozenset(concern)


async def _counted_page(wanted: ProductFilter, backend: BackendParts) -> ProductPage:
    if not wanted.counted:
        return await products_page(backend.read.reads, wanted)
    asked = encode(replace(wanted, sort_by=None, order=Direction.ASC, skip=0, limit=0, after=None))
    position = backend.reading.known("products")
    total = backend.counts.of(asked, position)
    found = await products_page(backend.read.reads, replace(wanted, counted=total is None))
    if total is not None:
        return replace(found, total=total)
    backend.counts.keep(asked, found.total or 0, position)
    return found


def _entries(
    found: ProductPage, asked: ProductQuery, backend: BackendParts, *, notes: bool
) -> list[Raw | dict[str, Any]]:
    """The products as they are answered with: whole, or the fields that were asked for."""
    bodies = [backend.addressed(body) for body in found.bodies]
    if found.kept:
        pairs = zip(bodies, found.kept, strict=True)
        bodies = [joined(body, kept_body(kept, notes=notes)) for body, kept in pairs]
    if asked.highlight:
        bodies = [
            joined(body, encode({"highlights": found.highlights.get(key, {})}))
            for body, key in zip(bodies, found.keys, strict=True)
        ]
    if not asked.select:
        return [Raw(body) for body in bodies]
    return [selected(body, asked.select) for body in bodies]


def selected(body: bytes, fields: str) -> dict[str, Any]:
    """DummyJSON's ``select``: these fields, and always the id; names that nothing has are nothing."""
    whole: dict[str, Any] = msgspec.json.decode(body)
    return {name: whole[name] for name in ("id", *values(fields)) if name in whole}


def kept_body(kept: bytes, *, notes: bool) -> bytes:
    """What whoever keeps a listing reads of it besides; ``notes`` of admins are for admins."""
    if notes:
        return kept
    told: dict[str, Any] = msgspec.json.decode(kept)
    del told["flagNote"]
    return encode(told)


def joined(body: bytes, more: bytes) -> bytes:
    """One object of two that are JSON already, and not empty."""
    return b"%b,%b" % (body[:-1], more[1:])


async def search(
    connection: Connection, wanted: ProductFilter, backend: BackendParts
) -> tuple[int, ProductPage]:
    # What not everybody finds, and where a collection has put something, is known to the catalogue alone.
    is_its_own = wanted.kept is not None or wanted.sort_by is SortBy.MANUAL
    port = backend.read.search_in_postgres if is_its_own else backend.read.search
    try:
        position = await backend.reading.fresh(connection, port.read_model)
        # What is found there is shown as the catalogue has it, or is looked for in the catalogue after all.
        position = min(position, await backend.reading.fresh(connection, "products"))
    except StaleReadError:
        # The index is behind, perhaps because its engine is down: the catalogue can be searched as well.
        position = await backend.reading.fresh(connection, "products")
        return position, await backend.read.search_in_postgres.search(wanted)
    return position, await port.search(wanted)


class _Question:
    """What is asked for in words of the contract, put in those of the catalogue."""

    def __init__(
        self,
        connection: Connection,
        backend: BackendParts,
        asked: ProductQuery,
        shelf: Shelf,
        position: int | None,
    ) -> None:
        self.position = position
        self.categories: Categories | None = None
        self.shows_notes = False
        self.is_everybodys = False
        """Whether the answer, be it that there is nothing, is the same for everybody; ``wanted`` finds out."""
        self._connection = connection
        self._backend = backend
        self._asked = asked
        self._shelf = shelf

    @property
    def belongs_to(self) -> bytes:
        """What a cursor of this list is good for."""
        return self._asked.question(self._shelf.name)

    def includes(self, position: int) -> None:
        """The answer is no fresher than any of the read models that it is made of."""
        self.position = position if self.position is None else min(self.position, position)

    @property
    def concern(self) -> frozenset[str]:
        """What else than products the answer is made of."""
        asked, shelf = self._asked, self._shelf
        concern: frozenset[str] = frozenset()
        if self.categories is not None or shelf.categories is not None:
            concern |= CATEGORIES
        if asked.collection or shelf.listings is not None:
            concern |= COLLECTIONS
        return concern | SELLERS if asked.seller else concern

    async def wanted(self) -> ProductFilter | None:
        """Nothing where nothing can be found."""
        asked, shelf = self._asked, self._shelf
        sort_by, order = asked.sorting
        if sort_by is SortBy.MANUAL and not shelf.manual:
            raise InvalidInputError({"sort": ["Is for collections only"]})
        # Who may ask at all comes first: that nothing is found is an answer, too.
        kept, seller = await self._kept()
        self.is_everybodys = kept is None
        below = await self._below()
        listings = await self._listings()
        if below == [] or listings == []:
            return None
        if asked.seller and seller is None:
            return None
        if sort_by is None and shelf.manual and not asked.q:
            sort_by = SortBy.MANUAL
        return ProductFilter(
            words=asked.q,
            categories=None if below is None else [category.id for category in below],
            listings=listings,
            seller=seller,
            brand=values(asked.brand),
            tags=values(asked.tags),
            attributes={key: values(wanted) for key, wanted in asked.attributes.items()},
            min_price=None if asked.min_price is None else minor_units(asked.min_price),
            max_price=None if asked.max_price is None else minor_units(asked.max_price),
            min_rating=asked.min_rating,
            in_stock=asked.in_stock,
            near=asked.near,
            sort_by=sort_by,
            order=order,
            skip=asked.offset,
            limit=asked.most,
            after=self._backend.cursors.open(asked, self.belongs_to),
            counted=asked.counted,
            kept=kept,
            facets=values(asked.facets) if asked.counts_facets and asked.facets != "true" else (),
            every_facet=asked.facets == "true",
            highlighted=asked.highlight,
        )

    async def _below(self) -> list[Category] | None:
        """The categories in which something must be, those below included: that of the path, and those asked for."""
        asked, shelf = self._asked, self._shelf
        if not asked.category and not asked.counts_facets:
            return None if shelf.categories is None else list(shelf.categories)
        position = await self._backend.reading.fresh(self._connection, "categories")
        self.includes(position)
        self.categories = await self._backend.categories.at(position)
        if not asked.category:
            return None if shelf.categories is None else list(shelf.categories)
        found: dict[CategoryId, Category] = {}
        for reference in values(asked.category):
            for category in with_descendants(self.categories, reference_kind(reference)):
                found[category.id] = category
        if shelf.categories is None:
            return list(found.values())
        return [category for category in shelf.categories if category.id in found]

    async def _listings(self) -> list[UUID] | None:
        """What is in one of the collections, and in that of the path if there is one."""
        on_shelf = self._shelf.listings
        if not self._asked.collection:
            return None if on_shelf is None else list(on_shelf)
        self.includes(await self._backend.reading.fresh(self._connection, "collections"))
        found: dict[UUID, None] = {}
        for reference in values(self._asked.collection):
            collection = await collection_by(self._backend.read.reads, reference_kind(reference))
            if collection is not None and collection.active:
                found |= dict.fromkeys(collection.listings)
        return list(found) if on_shelf is None else [each for each in on_shelf if each in found]

    async def _kept(self) -> tuple[Kept | None, SellerId | None]:
        """Which listings that not everybody finds are asked for, if any, and whose."""
        asked = self._asked
        statuses = values(asked.status)
        if isinstance(asked, KeptProductQuery):
            self.shows_notes = True
            kept = Kept(status=statuses, moderation=asked.moderation, flag=asked.flag, deleted=asked.deleted)
            return kept, await self._seller() if asked.seller else None
        is_public = not statuses or statuses == ["active"]
        if asked.seller != "me" and is_public:
            return None, await self._seller() if asked.seller else None
        caller = await reader(self._connection)
        if caller is None:
            raise AuthenticationError("Authentication required")
        self.shows_notes = caller.is_admin
        own = seller_of(caller.account_id)
        seller = own if asked.seller in ("", "me") else await self._seller()
        if seller is not None and seller != own and not caller.is_admin:
            raise ForbiddenError("Only listings of your own are found by their status")
        return Kept(status=statuses, deleted=False), seller

    async def _seller(self) -> SellerId | None:
        reference = self._asked.seller
        if reference == "me":
            caller = await reader(self._connection)
            return None if caller is None else seller_of(caller.account_id)
        self.includes(await self._backend.reading.fresh(self._connection, "sellers"))
        kind = reference_kind(reference)
        found = await seller_by(self._backend.read.reads, kind)
        if found is not None:
            return found.shop.seller.id
        # The house sells before anybody has opened its shop, and its products say who sells them.
        return SellerId(kind) if isinstance(kind, UUID) else None


def _range(price: str) -> dict[str, str]:
    bounds = _RANGE.fullmatch(price.replace(" ", ""))
    if bounds is None or not (bounds[1] or bounds[2]):
        raise InvalidInputError({"price": ["Must be a range such as 10-50, 10- or -50"]})
    given = {"minPrice": bounds[1], "maxPrice": bounds[2]}
    return {name: bound for name, bound in given.items() if bound}


def _facet_bodies(facets: Sequence[Facet], categories: Categories | None) -> dict[str, list[dict[str, Any]]]:
    """Categories by their slug and with their name, as shoppers know them."""
    bodies: dict[str, list[dict[str, Any]]] = {}
    for facet in facets:
        bodies[facet.name] = [
            {**_facet_value(facet.name, each.value, categories), "count": each.count} for each in facet.values
        ]
    return bodies


def _facet_value(name: str, value: str, categories: Categories | None) -> dict[str, str]:
    if name == "category" and categories is not None:
        category = categories.called(reference_kind(value))
        if category is not None:
            return {"value": category.slug, "label": category.name}
    return {"value": value}
