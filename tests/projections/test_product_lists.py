"""Lists of products: an index for each, and pages that stay right while products come, change and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, repeat
from random import Random
from typing import Any, Self
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from api.paging import CursorQuery, Cursors
from domain.kernel import CategoryId, SellerId, stream_id
from domain.listings.events import ListingStatus, Location, Moderation
from domain.listings.listing import Listing
from domain.money import Money
from projections.adapters.postgres_sink import PostgresSink
from projections.adapters.read_pool import ReadPool
from projections.engine import prepare
from projections.product_search.postgres import PostgresProductSearch
from projections.products.product import Product
from projections.products.projector import PRODUCTS
from projections.products.query import (
    Direction,
    Kept,
    Mark,
    Near,
    ProductFilter,
    SortBy,
    product_by,
    products_page,
)
from projections.sellers.projector import SELLER_LIST
from tests.domain.builders import NOW, a_listing, listing_id
from tests.projections.engine.shelf import open_pool
from tests.projections.plans import Asked, change_of, filled
from workers.projector import sinks

MANY = 4_000
BRANDS = [f"Brand {number}" for number in range(40)]
THINGS = ["lamp", "chair", "table", "shirt", "phone", "guitar", "piano", "boots", "scarf", "kettle", "mirror"]
WORDS = [f"{letter}{thing}" for thing in THINGS for letter in "bcdfghjklmnp"]
TEXT = (
    "Something that is worth having and was described at some length by whoever wants to be rid of it. " * 6
)


def cat(number: int) -> CategoryId:
    return CategoryId(stream_id("category", number))


def seller(number: int) -> SellerId:
    return SellerId(stream_id("seller", number))


def products(how_many: int) -> Iterator[tuple[UUID, Product]]:
    """As varied as a shop is."""
    chance = Random(7)
    for number in range(1, how_many + 1):
        fields: dict[str, Any] = {
            "title": f"{chance.choice(WORDS)} {chance.choice(WORDS)} {number}".title(),
            "description": TEXT,
            "price": Money(chance.randrange(100, 100_000)),
            "brand": chance.choice(BRANDS),
            "category_id": cat(chance.randrange(1, 60)),
            "seller_id": seller(chance.randrange(300)),
            "stock": chance.randrange(0, 20),
            "tags": (chance.choice(WORDS), f"tag-{chance.randrange(50)}"),
            "attributes": {"size": chance.choice("SML"), "colour": f"colour {chance.randrange(40)}"},
            "location": Location(lat=chance.uniform(-60, 60), lng=chance.uniform(-180, 180)),
        }
        if not number % 10:
            # Few are in more than one category, and hardly any in more than two; none of these is its first one.
            third = () if number % 200 else (cat(70),)
            fields["category_id"] = cat(8 + number % 50)
            fields["further_category_ids"] = (cat(1 + number % 7), *third)
        listing = a_listing(number=number, **fields)
        yield UUID(str(listing.id)), a_product(seen_otherwise(listing, chance), chance)


def seen_otherwise(listing: Listing, chance: Random) -> Listing:
    """A few are not for everybody."""
    kind = chance.random()
    if kind < 0.05:
        return replace(listing, status=ListingStatus.DRAFT)
    if kind < 0.08:
        return replace(listing, status=ListingStatus.EXPIRED)
    if kind < 0.10:
        return replace(listing, moderation=Moderation.HIDDEN)
    if kind < 0.12:
        return replace(listing, deleted_at=NOW)
    if kind < 0.14:
        return replace(listing, flags=("dubious",))
    return (
        replace(listing, expires_at=NOW + timedelta(days=chance.randrange(1, 60))) if kind < 0.5 else listing
    )


def a_product(listing: Listing, chance: Random) -> Product:
    rating = Decimal(chance.randrange(0, 50)) / 10
    return Product(listing=listing, created_at=NOW, updated_at=NOW, imported_rating=rating)


SORTS: list[dict[str, Any]] = [
    {"sort_by": sort_by, "order": order}
    for sort_by in (None, SortBy.PRICE, SortBy.RATING, SortBy.TITLE, SortBy.ID)
    for order in Direction
]
NEAR: dict[str, Any] = {"near": Near(lat=52.5, lng=13.4, kilometres=300)}
FILTERS: list[dict[str, Any]] = [
    {},
    {"categories": [cat(1), cat(2)]},
    {"categories": [cat(number) for number in range(1, 60)]},
    {"brand": ["Brand 3"]},
    {"min_price": 500, "max_price": 2_000},
    {"min_price": 500},
    {"in_stock": True},
    {"min_rating": 4.5},
    {"min_rating": 1},
    {"seller": seller(7)},
    {"tags": ["tag-7"]},
    {"attributes": {"size": ["M"]}},
    {"attributes": {"size": ["M", "L"], "colour": ["colour 3"]}},
    {"categories": [cat(4)], "in_stock": True, "max_price": 50_000},
    {"brand": ["Brand 1", "Brand 2"], "min_price": 10_000},
    {"listings": [listing_id(number) for number in range(1, 60)]},
    {"words": "blamp"},
    {"words": "blamp", "categories": [cat(4)]},
    NEAR,
]
KEPT: list[tuple[Kept, dict[str, Any]]] = [
    (Kept(), {}),
    (Kept(status=["draft"]), {}),
    (Kept(status=["active"], deleted=False), {}),
    (Kept(moderation="hidden"), {}),
    (Kept(moderation="visible"), {}),
    (Kept(flag="dubious"), {}),
    (Kept(deleted=True), {}),
    (Kept(deleted=False), {}),
    (Kept(), {"seller": seller(7)}),
    (Kept(deleted=False), {"seller": seller(7)}),
    (Kept(status=["draft", "expired"]), {"seller": seller(7)}),
    (Kept(), {"words": "cguitar"}),
    (Kept(), {"categories": [cat(9)]}),
]


async def ask(asked: Asked, wanted: ProductFilter) -> None:
    """In each of the three styles."""
    page = PostgresProductSearch(asked).search if wanted.words else partial(products_page, asked)
    first = await page(wanted)
    await page(replace(wanted, skip=10))
    await page(replace(wanted, counted=False))
    if first.last is not None:
        await page(replace(wanted, counted=False, after=first.last))


async def test_every_list_has_an_index_to_go_by(database_url: str) -> None:
    async with filled(database_url, (PRODUCTS, products(MANY)), (SELLER_LIST, ())) as connection:
        asked = Asked(connection)
        for filtered in FILTERS:
            for sort in SORTS:
                await ask(asked, ProductFilter(**filtered, **sort))
        await ask(asked, ProductFilter(**NEAR, sort_by=SortBy.DISTANCE))
        await ask(asked, ProductFilter(near=Near(lat=0, lng=179.9), sort_by=SortBy.DISTANCE))
        every = [listing_id(number) for number in range(100, 0, -1)]
        await ask(asked, ProductFilter(listings=every, sort_by=SortBy.MANUAL))
        for kept, filtered in KEPT:
            for sort in SORTS:
                await ask(asked, ProductFilter(kept=kept, **filtered, **sort))
        for reference in (1, listing_id(1), "listing-1", "no-such-slug"):
            await product_by(asked, reference)
        await asked.all(
            "SELECT key FROM products WHERE status = 'active' AND NOT deleted AND expires_at <= now()"
        )
        assert len(asked.plans) > 1_000
        asked.never_scans("products")


class Table:
    """The catalogue's table, written to as the projector does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()

    def __enter__(self) -> Self:
        self._runner.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _open(self) -> None:
        self._pool = await self._stack.enter_async_context(open_pool(self._url))
        self._reads = await self._stack.enter_async_context(ReadPool(self._url))
        sink_for = sinks(self._pool, None)
        await prepare(self._pool, [PRODUCTS], sink_for)
        sink = sink_for(PRODUCTS, 1)
        assert isinstance(sink, PostgresSink)
        self._sink = sink

    def put(self, *things: Product) -> None:
        async def write() -> None:
            changes = [change_of(PRODUCTS, UUID(str(each.listing.id)), each) for each in things]
            async with self._pool.connection() as connection, connection.cursor() as cursor:
                await self._sink.write(cursor, changes)

        self._runner.run(write())

    def clear(self) -> None:
        async def clear() -> None:
            async with self._pool.connection() as connection:
                await connection.execute("DELETE FROM products_g1")

        self._runner.run(clear())

    def total(self, wanted: ProductFilter) -> int | None:
        return self._runner.run(products_page(self._reads, wanted)).total

    def page(self, wanted: ProductFilter) -> tuple[list[int], ProductFilter | None]:
        """The numbers on the page, and the question for the next one."""
        found = self._runner.run(products_page(self._reads, wanted))
        numbers = [json.loads(body)["id"] for body in found.bodies]
        return numbers, None if found.last is None else replace(
            wanted, skip=0, after=through_the_wire(found.last)
        )


def through_the_wire(mark: Mark) -> Mark:
    cursors, asked = Cursors(b"key"), CursorQuery(cursor="")
    sealed = cursors.seal(mark, asked.question("products"))
    opened = cursors.open(replace(asked, cursor=sealed), asked.question("products"))
    assert opened is not None
    return opened


def a_thing(number: int, value: int, *, visible: bool = True) -> Product:
    """Alike in all that it can be sorted by."""
    listing = a_listing(
        number=number,
        price=Money(100 + value),
        title=f"Thing {'abcd'[value]}",
        location=Location(lat=value / 10, lng=0),
    )
    status = ListingStatus.ACTIVE if visible else ListingStatus.DRAFT
    return Product(
        listing=replace(listing, status=status),
        created_at=NOW,
        updated_at=NOW,
        imported_rating=Decimal(value) / 3,
    )


def found_in(number: int, first: int, *further: int) -> Product:
    thing = a_thing(number, 0)
    categories: dict[str, Any] = {"category_id": cat(first), "further_category_ids": tuple(map(cat, further))}
    return replace(thing, listing=replace(thing.listing, **categories))


@pytest.fixture(scope="module")
def table(module_database_url: str) -> Iterator[Table]:
    with Table(module_database_url) as table:
        yield table


PLACES = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3, unique=True), max_size=12)


class TestCategories:
    """Something may belong into one of them, and be found in others besides."""

    @pytest.mark.parametrize("order", list(Direction))
    @pytest.mark.parametrize("sort_by", [None, SortBy.PRICE])
    @given(
        places=PLACES,
        wanted=st.lists(st.integers(1, 4), min_size=1, unique=True),
        limit=st.integers(1, 5),
        skip=st.integers(0, 4),
    )
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_each_product_is_found_once_in_any_of_them(
        self,
        table: Table,
        *,
        sort_by: SortBy | None,
        order: Direction,
        places: list[list[int]],
        wanted: list[int],
        limit: int,
        skip: int,
    ) -> None:
        table.clear()
        table.put(*(found_in(number, *here) for number, here in enumerate(places, start=1)))
        expected = [number for number, here in enumerate(places, start=1) if {*here} & {*wanted}]
        if order is Direction.DESC and sort_by is None:
            expected.reverse()
        asked = ProductFilter(
            categories=[cat(each) for each in wanted], limit=limit, sort_by=sort_by, order=order
        )
        assert table.total(asked) == len(expected)
        assert table.page(replace(asked, skip=skip))[0] == expected[skip : skip + limit]
        shown: list[int] = []
        following: ProductFilter | None = asked
        while following is not None:
            page, following = table.page(following)
            shown += page
        assert shown == expected


async def test_lists_of_a_category_are_counted_without_looking_at_products(database_url: str) -> None:
    async with filled(database_url, (PRODUCTS, products(MANY)), (SELLER_LIST, ())) as connection:
        asked = Asked(connection)
        filtered = ProductFilter(categories=[cat(1)], min_price=500, max_price=50_000)
        for wanted in (
            filtered,
            replace(filtered, brand=["Brand 3"]),
            replace(filtered, min_rating=2.0),
            replace(filtered, in_stock=True),
        ):
            await products_page(asked, wanted)
        for plan in asked.plans:
            found = next(node for node in plan.nodes if node.get("Subplan Name") == "CTE matched")
            assert found["Node Type"] == "Append"
            for index in ("_products_category_shown", "_second_category_shown"):
                scans = [node for node in plan.nodes if node.get("Index Name", "").endswith(index)]
                assert [node["Node Type"] for node in scans] == ["Index Only Scan"], (
                    "once, for page and number"
                )


VALUES = st.integers(0, 3)
CHANGES = st.lists(
    st.lists(st.tuples(st.integers(1, 14), VALUES, st.booleans()), max_size=3), min_size=14, max_size=14
)


class TestPagesWhileProductsComeAndGo:
    @pytest.mark.parametrize("order", list(Direction))
    @pytest.mark.parametrize("sort_by", [None, SortBy.PRICE, SortBy.RATING, SortBy.TITLE, SortBy.DISTANCE])
    @given(values=st.lists(VALUES, max_size=12), limit=st.integers(1, 5), changes=CHANGES)
    @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_stays_as_it_is_is_shown_once_and_in_its_place(
        self,
        table: Table,
        *,
        sort_by: SortBy | None,
        order: Direction,
        values: list[int],
        limit: int,
        changes: list[list[tuple[int, int, bool]]],
    ) -> None:
        table.clear()
        things = {number: (value, True) for number, value in enumerate(values, start=1)}
        table.put(*(a_thing(number, value) for number, (value, _) in things.items()))
        near = Near(lat=0, lng=0) if sort_by is SortBy.DISTANCE else None
        wanted: ProductFilter | None = ProductFilter(
            sort_by=sort_by, order=order, limit=limit, counted=False, near=near
        )
        shown: list[int] = []
        changed: set[int] = set()
        # What is changed may come once more, so there can be more pages than changes.
        for between in chain(changes, repeat([])):
            assert wanted is not None
            page, wanted = table.page(wanted)
            shown += page
            if wanted is None:
                break
            for number, value, visible in between:
                if things.get(number) != (value, visible):
                    changed.add(number)
                    things[number] = (value, visible)
                    table.put(a_thing(number, value, visible=visible))
        as_it_was = {number: value for number, (value, _) in things.items() if number not in changed}
        expected = sorted(as_it_was)
        if sort_by is not None:
            expected.sort(key=as_it_was.__getitem__, reverse=order is Direction.DESC)
        if order is Direction.DESC and sort_by in (None, SortBy.TITLE, SortBy.DISTANCE):
            expected = sorted(as_it_was, key=lambda number: (as_it_was[number] if sort_by else 0, number))[
                ::-1
            ]
        assert [number for number in shown if number in as_it_was] == expected

    @given(
        limit=st.integers(1, 4),
        changes=st.lists(
            st.lists(st.tuples(st.booleans(), st.integers(1, 15)), max_size=4), min_size=16, max_size=16
        ),
    )
    @example(limit=1, changes=[[], [(False, 1), (False, 3)], *([[]] * 14)])  # page by page, all before it
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_arranged_ones_too(self, table: Table, limit: int, changes: list[list[tuple[bool, int]]]) -> None:
        table.clear()
        table.put(*(a_thing(number, 0) for number in range(1, 16)))
        arranged = [3, 1, 4, 15, 9, 2, 6, 5, 8, 7]
        standing = list(arranged)
        wanted: ProductFilter | None = ProductFilter(sort_by=SortBy.MANUAL, limit=limit, counted=False)
        shown: list[int] = []
        for between in changes:
            assert wanted is not None
            page, wanted = table.page(replace(wanted, listings=[listing_id(number) for number in arranged]))
            shown += page
            if wanted is None:
                break
            for adds, number in between:
                if adds and number not in arranged:
                    arranged.append(number)
                elif not adds and number in arranged:
                    arranged.remove(number)
                    standing = [each for each in standing if each != number]
        assert [number for number in shown if number in standing] == standing
        assert len(set(shown) & set(standing)) == len(standing)
