"""What every engine that searches products finds, in which order, and what it says of it: one suite for all of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from decimal import Decimal
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from itertools import count
from typing import Any, Final
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio
from opensearchpy import AsyncOpenSearch

from domain.categories.events import CategoryCreated
from domain.kernel import CategoryId, Event, InvalidInputError, ReviewId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingPublished, ListingUnpublished, Location
from domain.money import Money
from domain.reviews.events import ReviewSubmitted
from projections.adapters import opensearch_products
from projections.adapters.opensearch_client import opensearch_client
from projections.adapters.opensearch_products import OpenSearchProductSearch
from projections.adapters.read_pool import ReadPool
from projections.bootstrap import IN_POSTGRES
from projections.product_search.projector import PRODUCT_SEARCH
from projections.products.query import (
    Direction,
    Mark,
    Near,
    ProductFilter,
    ProductPage,
    ProductSearch,
    SortBy,
    Suggestion,
)
from tests.conftest import FreshDatabase
from tests.domain.builders import NOW, a_listing_created, listing_id
from tests.projections.engine.shelf import Stand, open_pool, open_shop, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENGINES: Final = ("opensearch", "postgres")
ON_POSTGRES: Final = "projections.product_search.postgres"
ORDERS: Final = (SortBy.PRICE, SortBy.RATING, SortBy.TITLE, SortBy.ID, SortBy.DISTANCE)
SHOWN: Final = {"products", "categories", "search_words"}
"""The read models that searches ask, as far as there are any in Postgres."""

NORTH = SellerId(stream_id("seller", "north"))
LONDON, PARIS, BERLIN = (
    Location(lat=51.51, lng=-0.13, city="London"),
    Location(lat=48.86, lng=2.35, city="Paris"),
    Location(lat=52.52, lng=13.4, city="Berlin"),
)
NEAR_LONDON = Near(lat=51.5, lng=-0.1)
CATEGORIES = ("clothing", "phones", "furniture", "kitchen", "books", "lighting")


def category(slug: str) -> CategoryId:
    return CategoryId(stream_id("category", slug))


def offered(number: int, title: str, slug: str, price: int, **fields: Any) -> ListingCreated:
    return a_listing_created(
        number,
        title=title,
        category=slug,
        category_id=category(slug),
        price=Money(price),
        slug=f"{number}-{slug}",
        description=fields.pop("description", "Worth having."),
        imported_rating=Decimal(fields.pop("rating", "3.0")),
        **fields,
    )


OFFERED: Final = (
    offered(
        1, "Red Cotton Shirt", "clothing", 2000, brand="Acme", tags=("shirts", "summer"), rating="4.0",
        attributes={"size": "M", "color": ["red"], "condition": "new"}, location=LONDON,
    ),
    offered(
        2, "Blue Cotton Shirt", "clothing", 3000, brand="Acme", tags=("shirts",), stock=0, rating="4.0",
        attributes={"size": "L", "color": ["blue", "white"], "condition": "good"}, location=PARIS,
    ),
    offered(
        3, "Linen Shirt", "clothing", 4500, brand="Beta & Sons", tags=("shirts", "summer"), rating="2.0",
        attributes={"size": "M", "color": ["white"], "condition": "new", "washable": True}, location=BERLIN,
    ),
    offered(4, "Samsung Galaxy S10", "phones", 69900, brand="Samsung", tags=("smartphones",), rating="4.5"),
    offered(5, "Galaxy Projector", "lighting", 2599, brand="Nightlight", rating="4.9"),
    offered(6, "Annibale Colombo Sofa", "furniture", 249999, brand="Annibale Colombo", location=PARIS),
    offered(7, "Crème Brûlée Torch", "kitchen", 3500, brand="Flambé"),
    offered(8, "Node.js in Practice", "books", 4000, seller_id=NORTH),
    offered(9, "The Lord of the Rings", "books", 1500, seller_id=NORTH, rating="5.0"),
    offered(
        10, "Wooden Table", "furniture", 12000, location=LONDON, attributes={"legs": 4},
        description="Seats four, <b>if</b> they like each other & linen. The legs come off.",
    ),
    offered(12, "iPhone 13 Pro", "phones", 109900, brand="Apple", tags=("smartphones",), rating="4.1"),
    offered(13, "Lipstick", "clothing", 999, brand="Chic", further_category_ids=(category("kitchen"),)),
)  # fmt: skip
DRAFT: Final = offered(11, "Invisible Shirt", "clothing", 2500)
EVERYTHING: Final = [event.number for event in OFFERED]


class Shown:
    """The catalogue, kept up to date while the tests run, and the engine under test."""

    def __init__(self, stand: Stand, reads: ReadPool, engine: ProductSearch) -> None:
        self.stand = stand
        self.reads = reads
        self.engine = engine
        self._numbers = count(100)

    async def page(self, words: str = "", **asked: Any) -> ProductPage:
        return await self.engine.search(ProductFilter(words=words, **asked))

    async def found(self, words: str = "", **asked: Any) -> list[int]:
        """The numbers of those that are found, in order."""
        return numbers_of(await self.page(words, **{"limit": 50, **asked}))

    async def facets(self, words: str = "", **asked: Any) -> dict[str, dict[str, int]]:
        page = await self.page(words, **asked)
        return {facet.name: {each.value: each.count for each in facet.values} for facet in page.facets}

    async def suggested(self, beginning: str, limit: int = 10) -> list[tuple[str, str]]:
        return [(each.kind, each.text) for each in await self.engine.suggest(beginning, limit)]

    async def walk(self, limit: int, words: str = "", **asked: Any) -> list[int]:
        """All pages, each behind the mark of the one before."""
        page = await self.page(words, limit=limit, **asked)
        found = numbers_of(page)
        while page.last is not None:
            page = await self.page(words, limit=limit, after=page.last, **asked)
            found += numbers_of(page)
        return found

    async def record(self, *events: Event) -> None:
        """Not waiting until it is seen."""
        await self.stand.shop.record([(stream_of(event), event) for event in events])

    async def offer(self, title: str, slug: str = "clothing", price: int = 1000, **fields: Any) -> int:
        """One more, found by the time it is back."""
        number = next(self._numbers)
        created = offered(number, title, slug, price, **fields)
        await self.record(created, ListingPublished(listing_id=created.listing_id))
        await self.caught_up()
        return number

    async def withdraw(self, *numbers: int) -> None:
        await self.record(*(ListingUnpublished(listing_id=listing_id(number)) for number in numbers))
        await self.caught_up()

    async def caught_up(self) -> None:
        head = await self.stand.shop.log.head()

        async def all_reached() -> bool:
            with suppress(psycopg.errors.UndefinedTable):  # the engine has not made it yet
                rows = await self.stand.generations.list_projections()
                return len(rows) > 0 and all(row.active.position >= head for row in rows)
            return False

        await until(all_reached)


def stream_of(event: Event) -> UUID:
    for name in ("review_id", "listing_id", "category_id"):
        if (stream := getattr(event, name, None)) is not None:
            return UUID(str(stream))
    raise AssertionError(event)


def numbers_of(page: ProductPage) -> list[int]:
    assert len(page.keys) == len(page.bodies)
    numbers = [json.loads(body)["id"] for body in page.bodies]
    assert list(page.keys) == [listing_id(number) for number in numbers]
    return numbers


def history() -> Sequence[Event]:
    categories = [
        CategoryCreated(category_id=category(slug), number=number, name=slug.title(), slug=slug)
        for number, slug in enumerate(CATEGORIES, 1)
    ]
    published = [ListingPublished(listing_id=event.listing_id) for event in OFFERED]
    return [*categories, *OFFERED, DRAFT, *published]


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if name == "postgres" and find_spec(ON_POSTGRES) is None:
        pytest.skip("the engine on Postgres is still to come")
    return name


@pytest.fixture(scope="module")
def search_url(request: pytest.FixtureRequest, engine_name: str) -> str:
    """Empty where Postgres searches."""
    url: str = request.getfixturevalue("opensearch_server").url if engine_name == "opensearch" else ""
    return url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shown(search_url: str, fresh_database: FreshDatabase) -> AsyncIterator[Shown]:
    async with AsyncExitStack() as stack:
        url = stack.enter_context(fresh_database())
        shop = await stack.enter_async_context(open_shop(url))
        pool = await stack.enter_async_context(open_pool(url))
        reads = await stack.enter_async_context(ReadPool(url))
        projections = [projection for projection in IN_POSTGRES if projection.name in SHOWN]
        client = opensearch_client(search_url) if search_url else None
        if client is None:
            engine: ProductSearch = import_module(ON_POSTGRES).PostgresProductSearch(reads)
        else:
            stack.push_async_callback(client.close)
            # The node is shared, and the indexes of another database would be taken for ours.
            clean = partial(client.indices.delete, index=f"{PRODUCT_SEARCH.name}_g*")
            await clean()
            stack.push_async_callback(clean)
            projections.append(PRODUCT_SEARCH)
            engine = OpenSearchProductSearch(client, reads)
        stand = Stand(shop, pool, client, "opensearch" if client else "postgres", search_url)
        await stack.enter_async_context(stand.running(*projections))
        shown = Shown(stand, reads, engine)
        await shown.record(*history())
        await shown.caught_up()
        yield shown


class TestFinding:
    @pytest.mark.parametrize(
        ("words", "numbers"),
        [
            ("projector", {5}),
            ("SOFA", {6}),
            ("table", {10}),
            ("four legs", {10}),
            ("nightlight", {5}),
            ("beta & sons", {3}),
            ("summer", {1, 3}),
            ("linen", {3, 10}),
            ("washable", {3}),
            ("acme cotton", {1, 2}),
            ("sons linen shirt", {3}),
            ("cotton torch", set()),
            ("clothing red", {1}),
        ],
    )
    async def test_all_words_are_somewhere_in_what_is_said_of_it(
        self, shown: Shown, words: str, numbers: set[int]
    ) -> None:
        assert set(await shown.found(words)) == numbers

    @pytest.mark.parametrize(
        ("words", "numbers"),
        [
            ("tables", {10}),
            ("shirts cottons", {1, 2}),
            ("lord's ring", {9}),
            ("creme brulee", {7}),
            ("CRÈME BRÛLÉE", {7}),
            ("flambe", {7}),
            ("node.js", {8}),
            ("node", {8}),
            ("js", {8}),
            ("Node.js in Practice", {8}),
            ("s10", {4}),
        ],
    )
    async def test_words_are_found_in_other_forms_and_by_their_parts(
        self, shown: Shown, words: str, numbers: set[int]
    ) -> None:
        assert set(await shown.found(words)) == numbers

    @pytest.mark.parametrize(
        ("words", "numbers"),
        [
            ("couch", {6}),
            ("settee", {6}),
            ("couches", {6}),
            ("red tee", set()),
            ("cell phone", {4, 12}),
            ("samsung handset", {4}),
            ("mobile", {4, 12}),
        ],
    )
    async def test_words_stand_for_their_synonyms(self, shown: Shown, words: str, numbers: set[int]) -> None:
        assert set(await shown.found(words)) == numbers

    @pytest.mark.parametrize(
        ("words", "first"), [("the", 9), ("of the", 9), ("the rings of a lord", 9), ("a sofa for me", 6)]
    )
    async def test_small_words_neither_hide_anything_nor_find_nothing(
        self, shown: Shown, words: str, first: int
    ) -> None:
        assert (await shown.found(words))[0] == first

    @pytest.mark.parametrize(
        ("words", "numbers"), [("lips", {13}), ("cotton sh", {1, 2}), ("gal", {4, 5}), ("sam gal", {4})]
    )
    async def test_the_ends_of_words_may_be_missing(
        self, shown: Shown, words: str, numbers: set[int]
    ) -> None:
        assert set(await shown.found(words)) == numbers

    @pytest.mark.parametrize(
        ("words", "numbers"),
        [
            ("samsng", {4}),
            ("smasung", {4}),
            ("samsung galxy", {4}),
            ("projecter", {5}),
            ("wodden table", {10}),
            ("iphnoe", {12}),
            ("lipstikc", {13}),
        ],
    )
    async def test_typos_are_forgiven(self, shown: Shown, words: str, numbers: set[int]) -> None:
        assert set(await shown.found(words)) == numbers

    async def test_typos_are_not_looked_for_where_something_is_written_like_that(self, shown: Shown) -> None:
        number = await shown.offer("Skirt")
        assert await shown.found("skirt") == [number]
        await shown.withdraw(number)
        assert set(await shown.found("skirt")) == {1, 2, 3}

    @pytest.mark.parametrize(
        "words", ["xyzzy", "xyzzy shirt", "!!!", "-", "*", "a:b(c", "\\", '"', "' OR 1=1"]
    )
    async def test_nothing_is_found_where_nothing_is(self, shown: Shown, words: str) -> None:
        assert (await shown.page(words)).total == 0

    async def test_without_words_everything_that_can_be_seen_is_found(self, shown: Shown) -> None:
        page = await shown.page(limit=50)
        assert numbers_of(page) == EVERYTHING
        assert (page.total, page.last) == (len(EVERYTHING), None)


class TestRanking:
    @pytest.mark.parametrize(
        ("words", "first"),
        [
            ("galaxy projector", 5),
            ("linen", 3),  # in the title, not in the description
            ("lipstick", 13),
        ],
    )
    async def test_what_is_called_so_comes_before_what_only_mentions_it(
        self, shown: Shown, words: str, first: int
    ) -> None:
        assert (await shown.found(words))[0] == first

    async def test_the_exact_title_comes_first_and_beginnings_last(self, shown: Shown) -> None:
        whole = await shown.offer("Lamp Oil", rating="1.0")
        exact = await shown.offer("Lamp", rating="1.0")
        begun = await shown.offer("Lampshade", rating="5.0")
        assert await shown.found("lamp") == [exact, whole, begun]
        await shown.withdraw(whole, exact, begun)

    async def test_words_side_by_side_come_before_words_far_apart(self, shown: Shown) -> None:
        apart = await shown.offer("Oak stand for one desk", rating="3.0")
        together = await shown.offer("Stand for one oak desk", rating="3.0")
        assert await shown.found("oak desk") == [together, apart]
        await shown.withdraw(apart, together)

    async def test_of_equals_the_better_liked_come_first_and_those_that_cannot_be_had_last(
        self, shown: Shown
    ) -> None:
        gone = await shown.offer("Tin drum", rating="4.0", stock=0)
        plain = await shown.offer("Tin drum", rating="2.0")
        liked = await shown.offer("Tin drum", rating="4.0")
        assert await shown.found("tin drum") == [liked, plain, gone]
        await shown.withdraw(gone, plain, liked)

    async def test_of_equals_those_that_more_people_speak_of_come_first(self, shown: Shown) -> None:
        quiet = await shown.offer("Tin whistle", rating="4.0")
        known = await shown.offer("Tin whistle", rating="4.0")
        await shown.record(*(reviewed(known, stars) for stars in (4, 4, 4, 4)))
        await shown.caught_up()
        assert await shown.found("tin whistle") == [known, quiet]
        await shown.withdraw(quiet, known)


class TestNarrowing:
    @pytest.mark.parametrize(
        ("asked", "numbers"),
        [
            ({"categories": [category("books"), category("lighting")]}, {5, 8, 9}),
            ({"categories": [category("kitchen")]}, {7, 13}),
            ({"categories": []}, set()),
            ({"listings": [listing_id(3), listing_id(11), listing_id(12)]}, {3, 12}),
            ({"listings": []}, set()),
            ({"seller": NORTH}, {8, 9}),
            ({"brand": ["Acme", "Apple"]}, {1, 2, 12}),
            ({"brand": ["Beta & Sons"]}, {3}),
            ({"tags": ["summer"]}, {1, 3}),
            ({"attributes": {"size": ["M"]}}, {1, 3}),
            ({"attributes": {"size": ["M", "L"], "color": ["white"]}}, {2, 3}),
            ({"attributes": {"washable": ["true"]}}, {3}),
            ({"min_price": 69900}, {4, 6, 12}),
            ({"max_price": 1500}, {9, 13}),
            ({"min_price": 2599, "max_price": 3500}, {2, 5, 7}),
            ({"min_rating": 4.5}, {4, 5, 9}),
            ({"in_stock": True, "brand": ["Acme"]}, {1}),
            ({"near": Near(lat=51.5, lng=-0.1, kilometres=10)}, {1, 10}),
            ({"near": Near(lat=51.5, lng=-0.1, kilometres=400)}, {1, 2, 6, 10}),
            ({"near": NEAR_LONDON}, set(EVERYTHING)),
            ({"attributes": {"legs": ["4"]}}, {10}),
            ({"attributes": {"legs": ["4.0"]}}, {10}),
        ],
    )
    async def test_to_what_is_asked_for(self, shown: Shown, asked: dict[str, Any], numbers: set[int]) -> None:
        page = await shown.page(**asked, limit=50)
        assert (set(numbers_of(page)), page.total) == (numbers, len(numbers))

    async def test_words_too(self, shown: Shown) -> None:
        assert await shown.found("shirt", attributes={"color": ["white"]}, max_price=3000) == [2]


class TestSorting:
    @pytest.mark.parametrize(
        ("asked", "numbers"),
        [
            ({"sort_by": SortBy.PRICE}, [1, 2, 3]),
            ({"sort_by": SortBy.PRICE, "order": Direction.DESC}, [3, 2, 1]),
            ({"sort_by": SortBy.RATING, "order": Direction.DESC}, [1, 2, 3]),
            ({"sort_by": SortBy.RATING}, [3, 1, 2]),
            ({"sort_by": SortBy.TITLE}, [2, 3, 1]),
            ({"sort_by": SortBy.TITLE, "order": Direction.DESC}, [1, 3, 2]),
            ({"sort_by": SortBy.ID, "order": Direction.DESC}, [3, 2, 1]),
            ({"sort_by": SortBy.DISTANCE, "near": NEAR_LONDON}, [1, 2, 3]),
            ({"sort_by": SortBy.DISTANCE, "near": Near(lat=52.5, lng=13.4)}, [3, 2, 1]),
        ],
    )
    async def test_is_the_same_with_words_and_without(
        self, shown: Shown, asked: dict[str, Any], numbers: list[int]
    ) -> None:
        assert await shown.found("shirt", **asked) == numbers
        assert await shown.found(tags=["shirts"], **asked) == numbers

    async def test_by_distance_what_is_nowhere_comes_last(self, shown: Shown) -> None:
        found = await shown.found(sort_by=SortBy.DISTANCE, near=NEAR_LONDON)
        assert found[:5] == [1, 10, 2, 6, 3]
        assert found[5:] == [4, 5, 7, 8, 9, 12, 13]


class TestCounting:
    async def test_products_by_brand_category_and_price(self, shown: Shown) -> None:
        facets = await shown.facets("shirt", facets=("brand", "category", "price"))
        assert facets == {
            "category": {str(category("clothing")): 3},
            "brand": {"Acme": 2, "Beta & Sons": 1},
            "price": {"0": 1, "25": 2},
        }
        assert list(facets["brand"]) == ["Acme", "Beta & Sons"]

    async def test_all_ranges_of_prices(self, shown: Shown) -> None:
        facets = await shown.facets(facets=("price",))
        assert list(facets["price"].items()) == [
            ("0", 3), ("25", 5), ("100", 1), ("500", 1), ("1000", 2),
        ]  # fmt: skip

    async def test_products_by_attributes(self, shown: Shown) -> None:
        assert await shown.facets("shirt", facets=("size", "color", "weight")) == {
            "size": {"M": 2, "L": 1},
            "color": {"white": 2, "blue": 1, "red": 1},
        }

    async def test_everything_there_is(self, shown: Shown) -> None:
        facets = await shown.facets("shirt", every_facet=True)
        assert facets["condition"] == {"new": 2, "good": 1}
        assert facets["washable"] == {"true": 1}
        assert list(facets) == ["category", "brand", "price", "color", "condition", "size", "washable"]

    async def test_what_is_chosen_of_a_facet_narrows_the_others_alone(self, shown: Shown) -> None:
        asked: dict[str, Any] = {"attributes": {"size": ["M"]}, "brand": ["Acme"]}
        page = await shown.page("shirt", every_facet=True, **asked)
        assert (numbers_of(page), page.total) == ([1], 1)
        facets = await shown.facets("shirt", every_facet=True, **asked)
        assert facets["size"] == {"L": 1, "M": 1}
        assert facets["brand"] == {"Acme": 1, "Beta & Sons": 1}
        assert facets["color"] == {"red": 1}
        assert facets["price"] == {"0": 1}
        assert await shown.facets("shirt", facets=("size",), **asked) == {"size": {"L": 1, "M": 1}}

    async def test_other_filters_narrow_all_of_them(self, shown: Shown) -> None:
        facets = await shown.facets("shirt", every_facet=True, in_stock=True)
        assert facets["size"] == {"M": 2}

    async def test_only_where_somebody_asks(self, shown: Shown) -> None:
        page = await shown.page("shirt", counted=False)
        assert (page.total, page.facets, len(page.bodies)) == (None, [], 3)


class TestHighlighting:
    async def test_what_was_found_is_marked(self, shown: Shown) -> None:
        page = await shown.page("cotton acme", highlighted=True, limit=1)
        marked = page.highlights[page.keys[0]]
        assert marked["title"] == ["Red <mark>Cotton</mark> Shirt"]
        assert marked["brand"] == ["<mark>Acme</mark>"]

    async def test_everything_else_is_escaped(self, shown: Shown) -> None:
        page = await shown.page("legs", highlighted=True)
        (text,) = page.highlights[listing_id(10)]["description"]
        assert "<mark>legs</mark>" in text
        assert "<b>" not in text.replace("<mark>", "")
        whole = (await shown.page("like linen", highlighted=True)).highlights[listing_id(10)]["description"]
        assert "each other &amp; <mark>linen</mark>" in " ".join(whole)

    @pytest.mark.parametrize(
        ("words", "title"),
        [
            ("shirts linen", "<mark>Linen</mark> <mark>Shirt</mark>"),
            ("lipst", "<mark>Lipstick</mark>"),
            ("couch", "Annibale Colombo <mark>Sofa</mark>"),
            ("projecter", "Galaxy <mark>Projector</mark>"),
        ],
    )
    async def test_other_forms_too(self, shown: Shown, words: str, title: str) -> None:
        page = await shown.page(words, highlighted=True, limit=1)
        assert page.highlights[page.keys[0]]["title"] == [title]

    async def test_only_where_somebody_asks(self, shown: Shown) -> None:
        assert (await shown.page("shirt")).highlights == {}
        assert (await shown.page(highlighted=True)).highlights == {}


class TestPaging:
    @pytest.mark.parametrize("sort_by", [None, *ORDERS])
    @pytest.mark.parametrize("order", list(Direction))
    @pytest.mark.parametrize("words", ["", "shirt", "smasung"])
    async def test_by_marks_shows_each_once_and_in_order(
        self, shown: Shown, words: str, sort_by: SortBy | None, order: Direction
    ) -> None:
        asked: dict[str, Any] = {"sort_by": sort_by, "order": order, "near": NEAR_LONDON}
        at_once = await shown.found(words, **asked)
        assert len(at_once) == {"": 12, "shirt": 3, "smasung": 1}[words]
        assert await shown.walk(1, words, **asked) == at_once
        assert await shown.walk(5, words, **asked) == at_once

    async def test_by_offsets_too(self, shown: Shown) -> None:
        assert await shown.found(limit=5, skip=5) == EVERYTHING[5:10]
        page = await shown.page("shirt", skip=2, limit=2)
        assert (len(page.bodies), page.total, page.last) == (1, 3, None)
        for skip in (3, 20_000, 1_000_000_000):
            page = await shown.page("shirt", skip=skip)
            assert (len(page.bodies), page.total, page.last) == (0, 3, None)

    async def test_a_mark_counts_what_came_before(self, shown: Shown) -> None:
        first = await shown.page("shirt", limit=2)
        assert first.last is not None
        assert (first.last.seen, first.last.engine) == (2, first.engine)
        second = await shown.page("shirt", limit=2, after=first.last)
        assert len(numbers_of(second)) == 1
        assert second.last is None
        assert second.total == 3

    async def test_it_stays_right_while_others_come_and_go(self, shown: Shown) -> None:
        asked: dict[str, Any] = {"sort_by": SortBy.PRICE, "brand": ["Drum & Co"]}
        made = [await shown.offer("Drum", price=1000 + each, brand="Drum & Co") for each in range(4)]
        first = await shown.page(**asked, limit=2)
        assert numbers_of(first) == made[:2]
        cheaper = await shown.offer("Drum", price=1, brand="Drum & Co")
        await shown.withdraw(made[0], made[1])
        assert first.last is not None
        assert numbers_of(await shown.page(**asked, limit=2, after=first.last)) == made[2:]
        await shown.withdraw(*made[2:], cheaper)

    async def test_it_goes_on_from_where_another_engine_stopped(self, shown: Shown) -> None:
        at_once = await shown.found("shirt")
        foreign = Mark("another", (0.123, 7), 1, "theirs")
        assert await shown.found("shirt", after=foreign) == at_once[1:]
        priced = Mark("another", (2000, 1), 1)
        assert await shown.found("shirt", sort_by=SortBy.PRICE, after=priced) == [2, 3]


class TestSuggesting:
    @pytest.mark.parametrize(
        ("beginning", "suggestion"),
        [
            ("sam", ("product", "Samsung Galaxy S10")),
            ("SAM", ("product", "Samsung Galaxy S10")),
            ("sam", ("brand", "Samsung")),
            ("phon", ("category", "Phones")),
            ("galaxy pro", ("product", "Galaxy Projector")),
            ("proj", ("product", "Galaxy Projector")),
            ("creme bru", ("product", "Crème Brûlée Torch")),
            ("crème", ("product", "Crème Brûlée Torch")),
            ("samsn", ("product", "Samsung Galaxy S10")),
            ("smasung gal", ("product", "Samsung Galaxy S10")),
            ("nigthl", ("brand", "Nightlight")),
            ("beta & s", ("brand", "Beta & Sons")),
        ],
    )
    async def test_what_somebody_may_mean(
        self, shown: Shown, beginning: str, suggestion: tuple[str, str]
    ) -> None:
        assert suggestion in await shown.suggested(beginning)

    async def test_leads_there(self, shown: Shown) -> None:
        found = {(each.kind, each.text): each.slug for each in await shown.engine.suggest("phone", 10)}
        assert found["category", "Phones"] == "phones"
        (product,) = [each for each in await shown.engine.suggest("iphone", 10) if each.kind == "product"]
        assert product == Suggestion(text="iPhone 13 Pro", kind="product", slug="12-phones")

    async def test_each_once_and_no_more_than_asked_for(self, shown: Shown) -> None:
        twins = [await shown.offer("Cotton Scarf") for _ in range(2)]
        found = await shown.suggested("cotton")
        assert found.count(("product", "Cotton Scarf")) == 1
        assert len(found) == len(set(found))
        assert len(await shown.suggested("c", 2)) == 2
        await shown.withdraw(*twins)
        assert ("product", "Cotton Scarf") not in await shown.suggested("cotton")

    async def test_what_begins_so_comes_before_what_has_such_a_word(self, shown: Shown) -> None:
        number = await shown.offer("Shirt, red", rating="1.0")
        products = [text for kind, text in await shown.suggested("shirt") if kind == "product"]
        assert products[0] == "Shirt, red"
        assert len(products) == 4
        await shown.withdraw(number)

    @pytest.mark.parametrize("beginning", ["xyzzy", "!!", "invisible"])
    async def test_nothing_of_what_is_not_there(self, shown: Shown, beginning: str) -> None:
        assert await shown.suggested(beginning) == []


class TestFollowing:
    async def test_what_is_published_is_found_and_what_is_hidden_is_not(self, shown: Shown) -> None:
        created = offered(next(shown._numbers), "Zeppelin", "clothing", 500)
        await shown.record(created)
        await shown.caught_up()
        assert await shown.found("zeppelin") == []
        await shown.record(ListingPublished(listing_id=created.listing_id))

        async def finds(numbers: list[int]) -> bool:
            return await shown.found("zeppelin") == numbers

        await until(lambda: finds([created.number]), within=5)
        await shown.record(ListingUnpublished(listing_id=created.listing_id))
        await until(lambda: finds([]), within=5)


class TestOnOpenSearch:
    """What only this engine does."""

    @pytest.fixture
    def client(self, shown: Shown) -> AsyncOpenSearch:
        if shown.stand.search is None:
            pytest.skip("this is about OpenSearch")
        return shown.stand.search

    async def test_pages_go_on_in_one_state_until_the_last_of_them(
        self, shown: Shown, client: AsyncOpenSearch
    ) -> None:
        first = await shown.page("shirt", limit=1)
        assert first.last is not None
        assert first.last.snapshot == ""
        second = await shown.page("shirt", limit=1, after=first.last)
        assert second.last is not None
        open_now = [pit["pit_id"] for pit in (await client.get_all_pits())["pits"]]
        assert second.last.snapshot in open_now
        third = await shown.page("shirt", limit=1, after=second.last)
        assert third.last is None
        assert await client.get_all_pits() == {"pits": []}
        assert numbers_of(first) + numbers_of(second) + numbers_of(third) == await shown.found("shirt")

    async def test_pages_go_on_when_that_state_is_forgotten(
        self, shown: Shown, client: AsyncOpenSearch
    ) -> None:
        at_once = await shown.found(sort_by=SortBy.PRICE)
        mark = (await shown.page(sort_by=SortBy.PRICE, limit=2)).last
        second = await shown.page(sort_by=SortBy.PRICE, limit=2, after=mark)
        await client.delete_all_pits()
        assert second.last is not None
        assert await shown.found(sort_by=SortBy.PRICE, after=second.last) == at_once[4:]

    async def test_pages_go_on_when_there_are_too_many_readers(
        self, shown: Shown, client: AsyncOpenSearch
    ) -> None:
        most = "search.max_open_pit_context"
        await client.cluster.put_settings(body={"transient": {most: 0}})
        try:
            assert await shown.walk(5) == EVERYTHING
        finally:
            await client.cluster.put_settings(body={"transient": {most: None}})

    async def test_what_the_catalogue_no_longer_shows_is_left_out_and_a_page_by_mark_filled_up(
        self, shown: Shown, client: AsyncOpenSearch
    ) -> None:
        mark = (await shown.page(limit=2)).last
        async with hidden_in_the_catalogue(shown, 3, 5):
            page = await shown.page(limit=3, after=mark, highlighted=True)
            assert numbers_of(page) == [4, 6, 7]
            assert page.last is not None
            assert numbers_of(await shown.page(limit=3, after=page.last)) == [8, 9, 10]
            assert await shown.found(limit=3, skip=2) == [4]

    async def test_only_so_many_can_be_skipped(
        self, shown: Shown, client: AsyncOpenSearch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(opensearch_products, "DEEPEST", 5)
        for counted in (True, False):
            page = await shown.page(skip=3, limit=2, counted=counted)
            assert numbers_of(page) == EVERYTHING[3:5]
            assert page.last is not None
            assert await shown.found(after=page.last, limit=20) == EVERYTHING[5:]
        with pytest.raises(InvalidInputError) as refused:
            await shown.page(skip=4, limit=2)
        assert set(refused.value.details) == {"skip"}
        with pytest.raises(InvalidInputError) as refused:
            await shown.page("shirt", after=Mark("another", (0.1, 1), 2), limit=4)
        assert set(refused.value.details) == {"cursor"}
        assert await shown.walk(2) == EVERYTHING

    async def test_an_attribute_may_be_called_anything(self, shown: Shown, client: AsyncOpenSearch) -> None:
        odd = 'a[b]>c.*"=#~é'
        number = await shown.offer("Ladder", attributes={odd: "x=y"})
        assert await shown.facets("ladder", facets=(odd, "a")) == {odd: {"x=y": 1}}
        assert await shown.found("ladder", attributes={odd: ["x=y"]}) == [number]
        await shown.withdraw(number)


@asynccontextmanager
async def hidden_in_the_catalogue(shown: Shown, *numbers: int) -> AsyncIterator[None]:
    """While the index still has them."""
    async with shown.stand.pool.connection() as connection:
        statement = "UPDATE products_g1 SET visible = %s WHERE number = ANY(%s)"
        await connection.execute(statement, (False, list(numbers)))
        yield
        await connection.execute(statement, (True, list(numbers)))


def reviewed(number: int, rating: int) -> ReviewSubmitted:
    each = next(_REVIEWS)
    return ReviewSubmitted(
        review_id=ReviewId(stream_id("review", each)),
        number=each,
        listing_id=listing_id(number),
        reviewer_id=stream_id("account", each),
        rating=rating,
        comment="as described",
        reviewer_name="Ada",
        reviewer_email="ada@example.com",
        submitted_at=NOW,
    )


_REVIEWS = count(1)
