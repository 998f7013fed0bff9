"""The category tree and the collections, on a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from application.categories.changing import ChangeCategory, OrderCategories, change_category
from application.categories.creating import (
    THE_TREE,
    CreateCategory,
    category_called,
    category_for_listings,
    create_category,
)
from application.categories.deleting import DeleteCategory, delete_category
from application.collections.filling import AddToCollection, ArrangeCollection, RemoveFromCollection
from application.collections.keeping import (
    ChangeCollection,
    CreateCollection,
    DeleteCollection,
    collection_called,
)
from application.errors import ConcurrentChangeError
from application.listings.creating import CreateListing, create_listing
from application.ports import Changed, Metadata, Proposal, StreamRef
from domain.attributes import Attribute, AttributeType
from domain.categories.category import CATEGORIES, Category, CategoryNotFoundError, SlugExistsError
from domain.categories.events import CategoryCreated, ListingShelved, shelves_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import (
    TREE,
    AttributeDefinedTwiceError,
    CategoryCycleError,
    CategoryNotEmptyError,
    CategoryTree,
)
from domain.collections.collection import Collection, CollectionNotEmptyError, CollectionNotFoundError
from domain.kernel import CategoryId, CollectionId, DomainError, InvalidInputError, stream_id
from domain.listings.listing import LIFETIME
from domain.money import Money
from domain.sellers.events import HOUSE_SELLER
from tests.application.shop import METADATA, Shop

SIZE = Attribute(key="size", label="Size", type=AttributeType.ENUM, options=("S", "M"))


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def made(shop: Shop, name: str, parent: Category | None = None, **fields: Any) -> Category:
    command = CreateCategory(name=name, parent="" if parent is None else str(parent.number), **fields)
    category: Category = (await shop.handle(command)).state.category
    return category


async def changed(shop: Shop, category: Category, **fields: Any) -> Category:
    after: Category = (await shop.handle(ChangeCategory(category_id=category.id, **fields))).state.category
    return after


def offer(category: str, title: str = "Lamp") -> CreateListing:
    return CreateListing(
        seller_id=HOUSE_SELLER, title=title, description="Worth having.", price=Money(1), category=category
    )


async def tree_now(shop: Shop) -> CategoryTree:
    tree: CategoryTree = await shop.now(TREE, THE_TREE.id)
    return tree


async def refused(shop: Shop, command: object, error: type[DomainError], **details: Any) -> None:
    """It is refused like this, and nothing of it is recorded."""
    head = await shop.log.head()
    with pytest.raises(error) as refusal:
        await shop.handle(command)
    assert refusal.value.details == details
    assert await shop.log.head() == head


async def both(*commands: Any) -> list[Any]:
    return await asyncio.gather(*commands, return_exceptions=True)


class TestTheTree:
    async def test_a_category_has_its_place_from_the_first_event_on(self, shop: Shop) -> None:
        root = await made(shop, "Home")
        lamps = await made(shop, "Lamps", root, attributes=(SIZE,), active=False, order=2)
        assert (lamps.parent_id, lamps.attributes, lamps.active, lamps.order) == (root.id, (SIZE,), False, 2)
        tree = await tree_now(shop)
        assert tree.above(lamps.id) == [lamps.id, root.id]
        assert not tree.is_open(lamps.id)

    async def test_faults_of_input_are_named_and_take_no_number(self, shop: Shop) -> None:
        root = await made(shop, "Home")
        await refused(
            shop, CreateCategory(name="Lamps", parent="nowhere"), InvalidInputError, parent=["Does not exist"]
        )
        bad = Attribute(key="size", label="Size", type=AttributeType.ENUM)
        details = {"attributes[0].options": ["Is required"]}
        await refused(shop, CreateCategory(name="Lamps", attributes=(bad,)), InvalidInputError, **details)
        await refused(shop, CreateCategory(name="Home"), SlugExistsError, slug=["Is already taken"])
        assert (await made(shop, "Lamps")).number > root.number

    async def test_a_slug_that_it_had_goes_on_naming_it_and_nobody_else(self, shop: Shop) -> None:
        lamps = await made(shop, "Lamps")
        await changed(shop, lamps, slug="lights", name="Lights")
        for reference in ("lamps", "lights", str(lamps.number), str(lamps.id)):
            assert (await category_called(reference, shop.store, shop.keys)).name == "Lights"
        await refused(shop, CreateCategory(name="Lamps"), SlugExistsError, slug=["Is already taken"])
        assert (await changed(shop, lamps, slug="lamps")).slug == "lamps"

    async def test_a_change_that_changes_nothing_records_nothing(self, shop: Shop) -> None:
        home = await made(shop, "Home")
        lamps = await made(shop, "Lamps", home, attributes=(SIZE,))
        head = await shop.log.head()
        for _ in range(2):
            same = await changed(
                shop,
                lamps,
                name="Lamps",
                slug="lamps",
                parent="home",
                attributes=(SIZE,),
                active=True,
                order=0,
            )
            assert same == lamps
        assert await shop.log.head() == head

    async def test_a_move_and_its_attributes_are_judged_together(self, shop: Shop) -> None:
        home = await made(shop, "Home", attributes=(SIZE,))
        lamps = await made(shop, "Lamps", attributes=(SIZE,))
        with pytest.raises(AttributeDefinedTwiceError):
            await changed(shop, lamps, parent="home")
        moved = await changed(shop, lamps, parent="home", attributes=())
        assert (moved.parent_id, moved.attributes) == (home.id, ())
        assert (await tree_now(shop)).schema_of(lamps.id) == (SIZE,)
        assert (await changed(shop, lamps, parent=None)).parent_id is None

    async def test_siblings_come_into_an_order(self, shop: Shop) -> None:
        home = await made(shop, "Home")
        one, two = await made(shop, "One", home), await made(shop, "Two", home)
        command = OrderCategories(parent_id=home.id, categories=(two.id, one.id))
        ordered = (await shop.handle(command)).state
        assert [(each.id, each.category.order, each.parent_number) for each in ordered] == [
            (two.id, 1, home.number),
            (one.id, 2, home.number),
        ]
        head = await shop.log.head()
        await shop.handle(command)
        assert await shop.log.head() == head
        wrong = {"categories": ["Must name each category there once"]}
        await refused(
            shop, OrderCategories(parent_id=home.id, categories=(two.id,)), InvalidInputError, **wrong
        )

    async def test_two_moves_at_the_same_time_make_no_cycle(self, shop: Shop) -> None:
        """Each would be right alone, and each process knows nothing of the other one's."""
        for round_ in range(10):
            one, two = await made(shop, f"One {round_}"), await made(shop, f"Two {round_}")
            stores = [shop.another_store(), shop.another_store()]
            for store in stores:
                await store.load_many([THE_TREE])
            results = await both(
                *(
                    change_category(
                        ChangeCategory(category_id=each.id, parent=str(other.number)),
                        METADATA,
                        store=store,
                        keys=shop.keys,
                    )
                    for each, other, store in ((one, two, stores[0]), (two, one, stores[1]))
                )
            )
            refusals = [type(result) for result in results if isinstance(result, Exception)]
            assert refusals == [CategoryCycleError]
            states = [await shop.now(CATEGORIES, each.id) for each in (one, two)]
            assert sum(state.parent_id is not None for state in states) == 1

    async def test_a_child_and_a_deletion_at_the_same_time(self, shop: Shop) -> None:
        """Either the child is there and the parent stays, or it has no parent to be below."""
        numbers = _Numbers(100)
        for round_ in range(10):
            home = await made(shop, f"Home {round_}")
            create = create_category(
                CreateCategory(name=f"Lamps {round_}", parent=str(home.number)),
                METADATA,
                store=shop.another_store(),
                keys=shop.keys,
                numbers=numbers,
            )
            delete = delete_category(
                DeleteCategory(category=str(home.id)), METADATA, store=shop.another_store(), keys=shop.keys
            )
            first, second = await both(*((create, delete) if round_ % 2 else (delete, create)))
            assert isinstance(first, Changed) != isinstance(second, Changed)
            tree = await tree_now(shop)
            assert all(place.parent_id in {None, *tree.places} for place in tree.places.values())

    async def test_categories_that_are_older_than_the_tree_are_found_in_the_log(self, shop: Shop) -> None:
        ids = [CategoryId(stream_id("category", number)) for number in (1, 2)]
        for number, (id_, parent) in enumerate(zip(ids, (None, ids[0]), strict=True), 1):
            old = CategoryCreated(
                category_id=id_, number=number, name=f"Old {number}", slug=f"old-{number}", parent_id=parent
            )
            proposal = Proposal(outcome=None, events=[(StreamRef(CATEGORIES, id_), [old])])
            await shop.store.change_together([], partial(_as_it_is, proposal), METADATA)
        await refused(
            shop,
            ChangeCategory(category_id=ids[0], parent="2"),
            CategoryCycleError,
            parent=["Must not be the category itself, nor below it"],
        )
        await shop.handle(ChangeCategory(category_id=ids[1], name="Lamps"))
        tree = await tree_now(shop)
        assert {id_: place.uncounted for id_, place in tree.places.items()} == dict.fromkeys(ids, True)
        await refused(shop, DeleteCategory(category=str(ids[1])), CategoryNotEmptyError, listings=0)
        await shop.handle(DeleteCategory(category=str(ids[1]), reassign_to="1"))


def _as_it_is(proposal: Proposal[None], _: Sequence[Any]) -> Proposal[None]:
    return proposal


class _Numbers:
    def __init__(self, first: int) -> None:
        self._next = first

    async def next(self, name: str) -> int:
        self._next += 1
        return self._next


class TestDeleting:
    async def test_an_empty_one_goes_and_its_slugs_are_free_again(self, shop: Shop) -> None:
        lamps = await made(shop, "Lamps")
        await changed(shop, lamps, slug="lights")
        await shop.handle(DeleteCategory(category=str(lamps.id)))
        for reference in ("lamps", "lights", str(lamps.number), str(lamps.id)):
            with pytest.raises(CategoryNotFoundError):
                await category_called(reference, shop.store, shop.keys)
        for command in (
            DeleteCategory(category=str(lamps.id)),
            ChangeCategory(category_id=lamps.id, name="x"),
        ):
            await refused(shop, command, CategoryNotFoundError)
        assert (await made(shop, "Lamps")).id != lamps.id
        assert lamps.id not in (await tree_now(shop)).places

    async def test_one_with_listings_or_children_stays(self, shop: Shop) -> None:
        home = await made(shop, "Home")
        lamps = await made(shop, "Lamps", home)
        await shop.handle(offer("lamps"))
        await shop.handle(offer("lamps", "Lantern"))
        await refused(shop, DeleteCategory(category=str(home.id)), CategoryNotEmptyError, children=1)
        await refused(shop, DeleteCategory(category=str(lamps.id)), CategoryNotEmptyError, listings=2)
        await refused(
            shop,
            DeleteCategory(category=str(UUID(int=7))),
            CategoryNotFoundError,
        )

    async def test_a_successor_takes_listings_children_and_names(self, shop: Shop) -> None:
        home, garden = await made(shop, "Home"), await made(shop, "Garden")
        lamps = await made(shop, "Lamps", home)
        await shop.handle(offer("home"))
        await shop.handle(DeleteCategory(category=str(home.id), reassign_to="garden"))
        assert (await shop.now(CATEGORIES, lamps.id)).parent_id == garden.id
        assert (await category_for_listings("home", shop.store, shop.keys)).id == garden.id
        with pytest.raises(CategoryNotFoundError):
            await category_called("home", shop.store, shop.keys)
        await refused(shop, CreateCategory(name="Home"), SlugExistsError, slug=["Is already taken"])
        listing = (await shop.handle(offer("home", "Lantern"))).state
        assert listing.category == "garden"
        await shop.handle(ChangeCategory(category_id=lamps.id, parent=None))
        await refused(shop, DeleteCategory(category=str(garden.id)), CategoryNotEmptyError, listings=2)

    async def test_a_successor_must_make_sense(self, shop: Shop) -> None:
        home = await made(shop, "Home")
        await made(shop, "Lamps", home)
        inside = {"reassignTo": ["Must not be the category itself, nor below it"]}
        for successor, error, details in (
            ("nowhere", InvalidInputError, {"reassignTo": ["Does not exist"]}),
            ("home", CategoryCycleError, inside),
            ("lamps", CategoryCycleError, inside),
        ):
            command = DeleteCategory(category=str(home.id), reassign_to=successor)
            await refused(shop, command, error, **details)

    async def test_no_listing_is_left_in_what_is_deleted_at_the_same_time(self, shop: Shop) -> None:
        """The deletion looks at every shelf, and whoever offers something at the category."""
        await made(shop, "Home")
        for round_ in range(20):
            lamps = await made(shop, f"Lamps {round_}")
            create = create_listing(
                offer(str(lamps.number), f"Lamp {round_}"),
                METADATA,
                store=shop.another_store(),
                keys=shop.keys,
                numbers=_Numbers(1000 + round_),
                clock=shop.clock,
                lifetime=LIFETIME,
            )
            delete = delete_category(
                DeleteCategory(category=str(lamps.id)), METADATA, store=shop.another_store(), keys=shop.keys
            )
            first, second = await both(*((create, delete) if round_ % 2 else (delete, create)))
            assert isinstance(first, Changed) != isinstance(second, Changed)
            gone = (await shop.now(CATEGORIES, lamps.id)).deleted
            assert await counted(shop, lamps) == (0 if gone else 1)


async def counted(shop: Shop, category: Category) -> int:
    shelves = [await shop.now(CATEGORY_SHELVES, shelf) for shelf in shelves_of(category.id)]
    return sum(shelf.listings for shelf in shelves if shelf is not None)


class TestOfferingSomething:
    async def test_is_counted_in_the_same_append(self, shop: Shop) -> None:
        lamps = await made(shop, "Lamps")
        head = await shop.log.head()
        listing = (await shop.handle(offer("lamps"))).state
        events = await shop.events_after(head)
        assert events[-1] == ListingShelved(category_id=lamps.id, listing_id=listing.id)
        assert await counted(shop, lamps) == 1

    async def test_that_is_not_active_is_not_possible(self, shop: Shop) -> None:
        home = await made(shop, "Home")
        await made(shop, "Lamps", home)
        await changed(shop, home, active=False)
        for slug in ("home", "lamps"):
            await refused(shop, offer(slug), InvalidInputError, category=["Is not active"])
        await changed(shop, home, active=True)
        await shop.handle(offer("lamps"))


class TestCollections:
    async def a_collection(self, shop: Shop, **fields: Any) -> Collection:
        made: Collection = (await shop.handle(CreateCollection(**{"name": "Summer", **fields}))).state
        return made

    async def test_hold_products_by_any_of_their_names(self, shop: Shop) -> None:
        summer = await self.a_collection(shop)
        one, two, three = [await shop.listing(title=f"Thing {name}") for name in "abc"]
        fill = AddToCollection(collection_id=summer.id, products=(str(one.number), two.slug, str(three.id)))
        assert await self.listings(shop, fill) == [one.id, two.id, three.id]
        head = await shop.log.head()
        assert await self.listings(shop, fill) == [one.id, two.id, three.id]
        assert await shop.log.head() == head
        arrange = ArrangeCollection(collection_id=summer.id, products=(three.slug, one.slug))
        assert await self.listings(shop, arrange) == [three.id, one.id]
        take = RemoveFromCollection(collection_id=summer.id, products=(three.slug,))
        assert await self.listings(shop, take) == [one.id]
        await refused(shop, DeleteCollection(collection=str(summer.id)), CollectionNotEmptyError, products=1)
        await shop.handle(ArrangeCollection(collection_id=summer.id, products=()))
        await shop.handle(DeleteCollection(collection=str(summer.id)))
        for command in (fill, arrange, take, DeleteCollection(collection=str(summer.id))):
            await refused(shop, command, CollectionNotFoundError)

    async def listings(self, shop: Shop, command: object) -> Sequence[Any]:
        return list((await shop.handle(command)).state.listings)

    async def test_take_only_products_that_there_are(self, shop: Shop) -> None:
        summer = await self.a_collection(shop)
        thing = await shop.listing()
        nothing = {"products[1]": ["Does not exist"]}
        for unknown in ("nothing", "999", str(UUID(int=9))):
            products = (thing.slug, unknown)
            for command in (
                AddToCollection(collection_id=summer.id, products=products),
                ArrangeCollection(collection_id=summer.id, products=products),
            ):
                await refused(shop, command, InvalidInputError, **nothing)

    async def test_keep_the_slugs_that_they_had(self, shop: Shop) -> None:
        summer = await self.a_collection(shop)
        await shop.handle(ChangeCollection(collection_id=summer.id, slug="sun", order=3, active=False))
        for reference in ("summer", "sun", str(summer.number), str(summer.id)):
            assert await collection_called(reference, shop.store, shop.keys) == summer.id
        taken = {"slug": ["Is already taken"]}
        await refused(shop, CreateCollection(name="Summer"), SlugExistsError, **taken)
        other = await self.a_collection(shop, name="Winter")
        await refused(shop, ChangeCollection(collection_id=other.id, slug="sun"), SlugExistsError, **taken)
        await shop.handle(DeleteCollection(collection=str(summer.id)))
        again = await shop.handle(CreateCollection(name="Summer"))
        # The version is the collection's own, not that of the slug, which has changed hands.
        assert (again.state.slug, again.version) == ("summer", 1)
        with pytest.raises(CollectionNotFoundError):
            await collection_called("sun", shop.store, shop.keys)
        unknown = CollectionId(stream_id("collection", 99))
        await refused(shop, ChangeCollection(collection_id=unknown, name="x"), CollectionNotFoundError)

    async def test_are_changed_under_the_version_that_was_seen(self, shop: Shop) -> None:
        summer = await self.a_collection(shop)
        first = await shop.handle(ChangeCollection(collection_id=summer.id, name="Sun"))
        assert first.version == 2
        stale = Metadata(actor="test", expected_version=1)
        with pytest.raises(ConcurrentChangeError):
            await shop.handle(ChangeCollection(collection_id=summer.id, name="Rain"), stale)
