"""The category tree and the collections, as they are read: events in, answers out, and a rebuild comes to the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from domain.attributes import Attribute, AttributeType
from domain.categories.category import Category
from domain.categories.events import (
    CategoryAttributesDefined,
    CategoryCreated,
    CategoryDeactivated,
    CategoryDeleted,
    CategoryMoved,
    CategoryReordered,
    CategoryUpdated,
)
from domain.collections.events import (
    CollectionCreated,
    CollectionDeactivated,
    CollectionDeleted,
    CollectionProductsAdded,
    CollectionProductsArranged,
    CollectionUpdated,
)
from domain.kernel import CategoryId, CollectionId, Event, ListingId, SellerId, stream_id
from domain.listings.events import ListingCreated, ListingPublished
from domain.money import Money
from projections.adapters.read_pool import ReadPool
from projections.categories.projector import CATEGORY_TREE
from projections.categories.query import (
    Categories,
    all_categories,
    schema_body,
    tree_of,
    with_descendants,
)
from projections.collections.projector import COLLECTION_LIST
from projections.collections.query import (
    CollectionFilter,
    active_collections,
    collection_by,
    collections_page,
    collections_with,
)
from projections.keyset import Piece
from projections.products.projector import PRODUCTS
from projections.products.query import ProductFilter, SortBy, products_page
from projections.projection import Projection
from tests.projections.engine.shelf import Stand, open_stand

READ_MODELS: tuple[Projection[Any], ...] = (PRODUCTS, CATEGORY_TREE, COLLECTION_LIST)
SIZE = Attribute(key="size", label="Size", type=AttributeType.STRING)
SUMMER, WINTER = (CollectionId(stream_id("collection", number)) for number in (1, 2))


def cat(number: int) -> CategoryId:
    return CategoryId(stream_id("category", number))


def created(number: int, slug: str, parent: int | None = None, **fields: Any) -> CategoryCreated:
    parent_id = None if parent is None else cat(parent)
    return CategoryCreated(
        category_id=cat(number), number=number, name=slug.title(), slug=slug, parent_id=parent_id, **fields
    )


def listing(number: int) -> ListingId:
    return ListingId(stream_id("listing", number))


def listed(number: int, category: int, price: int) -> list[Event]:
    made = ListingCreated(
        listing_id=listing(number),
        number=number,
        seller_id=SellerId(UUID(int=1)),
        slug=f"thing-{number}",
        title=f"Thing {number}",
        description="Worth having.",
        price=Money(price),
        category_id=cat(category),
        category=f"category-{category}",
    )
    return [made, ListingPublished(listing_id=listing(number))]


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with open_stand(database_url, *READ_MODELS) as stand, stand.running(*READ_MODELS):
        yield stand


async def record(stand: Stand, *events: Any) -> None:
    """The events, each in its stream, and in all read models."""
    await stand.recorded([(stream_of(event), event) for event in events], *READ_MODELS)


def stream_of(event: Any) -> UUID:
    fields = ("category_id", "collection_id", "listing_id")
    own = fields[2:] if isinstance(event, ListingCreated) else fields
    return next(UUID(str(getattr(event, name))) for name in own if hasattr(event, name))


def below(categories: Categories, reference: int | UUID | str) -> set[CategoryId]:
    return {category.id for category in with_descendants(categories, reference)}


def outline(nodes: list[dict[str, Any]]) -> list[Any]:
    return [(node["slug"], outline(node["children"])) for node in nodes]


async def test_the_tree_as_it_grows_changes_and_shrinks(stand: Stand, reads: ReadPool) -> None:
    await record(
        stand,
        created(1, "home", attributes=(SIZE,)),
        created(2, "lamps", 1, order=2),
        created(3, "chairs", 1, order=1),
        created(4, "candles"),
    )
    categories = await all_categories(reads)
    assert outline(tree_of(categories)) == [("home", [("chairs", []), ("lamps", [])]), ("candles", [])]
    lamps = categories.called("lamps")
    assert lamps is not None
    (attribute,) = schema_body(categories, lamps)["attributes"]
    assert (attribute["key"], attribute["inherited"], attribute["category"]) == ("size", True, "home")
    await record(
        stand,
        CategoryUpdated(category_id=cat(2), slug="lights"),
        CategoryMoved(category_id=cat(4), parent_id=cat(2)),
        CategoryReordered(category_id=cat(2), order=0),
        CategoryAttributesDefined(category_id=cat(1), attributes=()),
        CategoryDeactivated(category_id=cat(3)),
    )
    categories = await all_categories(reads)
    assert outline(tree_of(categories)) == [("home", [("lights", [("candles", [])])])]
    assert below(categories, "lamps") == {cat(2), cat(4)}
    assert with_descendants(categories, cat(3)) == []
    assert below(categories, 1) == {cat(1), cat(2), cat(4)}
    assert with_descendants(categories, "nowhere") == []
    await record(
        stand,
        CategoryMoved(category_id=cat(4), parent_id=cat(1)),
        CategoryDeleted(category_id=cat(2), successor_id=cat(4)),
        CategoryDeleted(category_id=cat(3)),
    )
    categories = await all_categories(reads)
    assert outline(tree_of(categories)) == [("home", [("candles", [])])]
    for name in ("lamps", "lights", 2, cat(2)):
        assert below(categories, name) == {cat(2), cat(4)}
    assert categories.called("chairs") is None
    assert await stand.kept(CATEGORY_TREE) == await stand.folded(CATEGORY_TREE)


def test_what_is_below_one_that_is_not_active_is_not_seen() -> None:
    found = [Category.evolve(None, each) for each in (
        created(1, "home", active=False), created(2, "lamps", 1), created(3, "garden"),
    )]  # fmt: skip
    categories = Categories(found)
    assert [category.slug for category in categories] == ["garden"]
    assert outline(tree_of(categories)) == [("garden", [])]
    assert with_descendants(categories, "lamps") == []


def test_names_that_lead_to_what_is_gone_lead_nowhere() -> None:
    lamps = Category.evolve(None, created(1, "lamps"))
    gone = Category.evolve(lamps, CategoryDeleted(category_id=cat(1), successor_id=cat(9)))
    categories = Categories([gone, Category.evolve(None, created(2, "home"))])
    assert categories.called("lamps") is None
    assert below(categories, "home") == {cat(2)}


async def test_collections_and_what_is_to_be_seen_of_them(stand: Stand, reads: ReadPool) -> None:
    await record(
        stand,
        CollectionCreated(collection_id=SUMMER, number=1, name="Summer", slug="summer", order=2),
        CollectionCreated(collection_id=WINTER, number=2, name="Winter", slug="winter", order=1),
        *listed(1, 1, 300),
        *listed(2, 2, 100),
        *listed(3, 1, 200)[:1],
        CollectionProductsAdded(collection_id=SUMMER, listings=(listing(1), listing(2), listing(3))),
    )
    assert len(await active_collections(reads)) == 2
    assert [b"Summer" in body for body in await active_collections(reads)] == [False, True]
    assert [b"Summer" in body for body in await collections_with(reads, [cat(1)])] == [True]
    assert await collections_with(reads, [cat(3)]) == []
    found = await collection_by(reads, "summer")
    assert found is not None
    assert list(found.listings) == [listing(1), listing(2), listing(3)]
    collected = ProductFilter(listings=[listing(2), listing(3), listing(1)], sort_by=SortBy.MANUAL)
    products = await products_page(reads, collected)
    assert (products.total, products.keys) == (2, [listing(2), listing(1)])
    first = await products_page(reads, replace(collected, limit=1))
    second = await products_page(reads, replace(collected, limit=1, after=first.last, counted=False))
    assert (first.keys, second.keys, second.last) == ([listing(2)], [listing(1)], None)
    assert (await products_page(reads, replace(collected, categories=[cat(1)]))).total == 1
    assert (await products_page(reads, replace(collected, categories=[]))).total == 0
    await record(
        stand,
        CollectionUpdated(collection_id=SUMMER, name="Sun", slug="sun"),
        CollectionProductsArranged(collection_id=SUMMER, listings=(listing(2),)),
        CollectionDeactivated(collection_id=SUMMER),
    )
    for name in ("sun", "summer", 1, SUMMER):
        again = await collection_by(reads, name)
        assert again is not None
        assert (again.active, list(again.listings)) == (False, [listing(2)])
    assert len(await active_collections(reads)) == 1
    page = await collections_page(reads, CollectionFilter(active=False, words="SU"), Piece())
    assert (page.total, [each.key for each in page.collections]) == (1, [SUMMER])
    assert (await collections_page(reads, CollectionFilter(), Piece(limit=1))).total == 2
    await record(stand, CollectionDeleted(collection_id=WINTER))
    assert await collection_by(reads, 2) is None
    assert await stand.kept(COLLECTION_LIST) == await stand.folded(COLLECTION_LIST)
