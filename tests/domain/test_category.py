from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from domain.attributes import Attribute, AttributeType
from domain.categories.category import CATEGORIES, Category
from domain.categories.events import (
    CategoryActivated,
    CategoryAttributesDefined,
    CategoryCreated,
    CategoryDeactivated,
    CategoryDeleted,
    CategoryFiled,
    CategoryMoved,
    CategoryReordered,
    CategoryUnfiled,
    CategoryUpdated,
    ListingShelved,
    ListingUnshelved,
)
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import (
    TREE,
    AttributeDefinedTwiceError,
    CategoryCycleError,
    CategoryNotEmptyError,
    CategoryTooDeepError,
    CategoryTree,
    planted,
)
from domain.kernel import CategoryId, InvalidInputError, ListingId, stream_id

SIZE = Attribute(key="size", label="Size", type=AttributeType.STRING)
COLOR = Attribute(key="color", label="Color", type=AttributeType.STRING)


def category_id(number: int) -> CategoryId:
    return CategoryId(stream_id("category", number))


def created(number: int, parent: int | None = None, **fields: Any) -> CategoryCreated:
    given = {
        "category_id": category_id(number),
        "number": number,
        "name": f"Category {number}",
        "slug": f"category-{number}",
        "parent_id": None if parent is None else category_id(parent),
        **fields,
    }
    return CategoryCreated(**given)


def category(number: int, parent: int | None = None, **fields: Any) -> Category:
    return Category.evolve(None, created(number, parent, **fields))


def tree_of(*categories: Category) -> CategoryTree:
    tree = CategoryTree()
    for each in categories:
        for event in tree.file(each):
            tree = TREE.evolve(tree, event)
    return tree


class TestACategory:
    def test_is_described_anew_and_remembers_its_slugs(self) -> None:
        lamps = category(1, slug="lamps")
        assert lamps.describe(name="Category 1", slug=None) == []
        events = lamps.describe(name="Lights", slug="lights")
        assert events == [CategoryUpdated(category_id=lamps.id, name="Lights", slug="lights")]
        lights = CATEGORIES.after(lamps, events)
        assert (lights.slug, lights.former_slugs) == ("lights", ("lamps",))
        again = CATEGORIES.after(lights, lights.describe(slug="lamps"))
        assert (again.slug, again.former_slugs) == ("lamps", ("lights",))

    def test_changes_once_however_often_it_is_asked(self) -> None:
        root, id_ = category(1, 2), category_id(1)
        steps: list[tuple[Callable[[Category], list[Any]], Any]] = [
            (lambda c: c.move(None), CategoryMoved(category_id=id_, parent_id=None)),
            (lambda c: c.reorder(3), CategoryReordered(category_id=id_, order=3)),
            (
                lambda c: c.define_attributes((SIZE,)),
                CategoryAttributesDefined(category_id=id_, attributes=(SIZE,)),
            ),
            (lambda c: c.deactivate(), CategoryDeactivated(category_id=id_)),
            (lambda c: c.activate(), CategoryActivated(category_id=id_)),
            (lambda c: c.describe(image="https://a.b/c"), CategoryUpdated(category_id=id_, image="https://a.b/c")),
        ]  # fmt: skip
        for decide, event in steps:
            assert decide(root) == [event]
            root = Category.evolve(root, event)
            assert decide(root) == []

    def test_refuses_a_schema_that_makes_no_sense(self) -> None:
        with pytest.raises(InvalidInputError) as refused:
            category(1).define_attributes((SIZE, SIZE))
        assert list(refused.value.details) == ["attributes[1].key"]

    def test_goes_with_or_without_a_successor(self) -> None:
        gone = category(1)
        (deleted,) = gone.delete(category(2))
        assert deleted == CategoryDeleted(
            category_id=category_id(1), successor_id=category_id(2), successor_slug=category(2).slug
        )
        for event in (deleted,):
            gone = Category.evolve(gone, event)
        assert (gone.deleted, gone.successor_id) == (True, category_id(2))
        assert category(1).delete(None) == [CategoryDeleted(category_id=category_id(1))]

    def test_that_was_recorded_before_it_could_be_inactive_is_active(self) -> None:
        assert category(1).active
        assert category(1).attributes == ()


class TestTheTree:
    def test_knows_what_is_above_and_below(self) -> None:
        tree = tree_of(category(1), category(2, 1), category(3, 2), category(4, 1), category(5))
        one, two, three, four, five = map(category_id, range(1, 6))
        assert tree.above(three) == [three, two, one]
        assert tree.children(None) == [one, five]
        assert tree.below(one) == [two, four, three]
        assert (tree.number_of(two), tree.number_of(None)) == (2, None)

    def test_files_once(self) -> None:
        tree = tree_of(category(1))
        assert tree.file(category(1, order=7, name="Another")) == []
        assert tree.file(category(1, active=False)) == [
            CategoryFiled(category_id=category_id(1), number=1, active=False)
        ]

    def test_refuses_a_cycle(self) -> None:
        tree = tree_of(category(1), category(2, 1), category(3, 2))
        for number, parent in ((1, 1), (1, 2), (1, 3)):
            with pytest.raises(CategoryCycleError) as refused:
                tree.file(category(number, parent))
            assert list(refused.value.details) == ["parent"]

    def test_refuses_to_be_too_deep_with_all_that_moves_along(self) -> None:
        tree = tree_of(*(category(n, n - 1 or None) for n in range(1, 6)), category(6), category(7, 6))
        with pytest.raises(CategoryTooDeepError):
            tree.file(category(8, 5))
        with pytest.raises(CategoryTooDeepError):
            tree.file(category(6, 4))
        assert tree.file(category(6, 3)) != []

    def test_refuses_a_parent_that_is_not_there(self) -> None:
        with pytest.raises(InvalidInputError) as refused:
            tree_of(category(1)).file(category(2, 9))
        assert refused.value.details == {"parent": ["Does not exist"]}

    def test_refuses_the_same_attribute_twice_along_a_branch(self) -> None:
        tree = tree_of(category(1, attributes=(SIZE,)), category(2, 1), category(3, 2, attributes=(COLOR,)))
        for clashing in (
            category(3, 2, attributes=(SIZE,)),
            category(2, 1, attributes=(COLOR,)),
            category(1, attributes=(COLOR,)),
            category(4, 3, attributes=(COLOR,)),
        ):
            with pytest.raises(AttributeDefinedTwiceError) as refused:
                tree.file(clashing)
            assert list(refused.value.details) == ["attributes"]
        assert tree.file(category(4, 1, attributes=(COLOR,))) != []
        assert tree.schema_of(category_id(3)) == (SIZE, COLOR)

    def test_a_branch_does_not_move_where_its_attributes_are_defined_already(self) -> None:
        tree = tree_of(category(1, attributes=(SIZE,)), category(2), category(3, 2, attributes=(SIZE,)))
        with pytest.raises(AttributeDefinedTwiceError):
            tree.file(category(2, 1))

    def test_what_is_not_active_closes_all_below_it(self) -> None:
        tree = tree_of(category(1), category(2, 1, active=False), category(3, 2))
        assert [tree.is_open(category_id(n)) for n in (1, 2, 3)] == [True, False, False]

    def test_lets_only_the_empty_go_without_a_successor(self) -> None:
        tree = tree_of(category(1), category(2, 1))
        with pytest.raises(CategoryNotEmptyError) as refused:
            tree.remove(category_id(1), None, listings=0)
        assert refused.value.details == {"children": 1}
        with pytest.raises(CategoryNotEmptyError) as refused:
            tree.remove(category_id(2), None, listings=3)
        assert refused.value.details == {"listings": 3}
        assert tree.remove(category_id(2), None, listings=0) == [CategoryUnfiled(category_id=category_id(2))]

    def test_a_successor_is_there_and_not_below(self) -> None:
        tree = tree_of(category(1), category(2, 1), category(3))
        for successor in (1, 2):
            with pytest.raises(CategoryCycleError):
                tree.require_successor(category_id(1), category_id(successor))
        with pytest.raises(InvalidInputError):
            tree.require_successor(category_id(1), category_id(9))
        (event,) = tree.remove(category_id(2), category_id(3), listings=7)
        after = TREE.evolve(tree, event)
        assert after.standing(category_id(2)) == category_id(3)
        (event,) = after.remove(category_id(3), category_id(1), listings=7)
        last = TREE.evolve(after, event)
        assert last.standing(category_id(2)) == category_id(1)
        assert set(last.predecessors(category_id(1))) == {category_id(2), category_id(3)}

    def test_an_older_category_counts_as_full_and_so_does_its_successor(self) -> None:
        tree = TREE.after(None, planted([category(1), category(2)]))
        with pytest.raises(CategoryNotEmptyError):
            tree.remove(category_id(1), None, listings=0)
        tree = TREE.after(tree, tree.file(category(3)))
        tree = TREE.after(tree, tree.remove(category_id(1), category_id(3), listings=0))
        assert tree.places[category_id(3)].uncounted
        assert tree.file(category(3)) == []

    def test_an_order_names_each_once(self) -> None:
        tree = tree_of(category(1), category(2, 1), category(3, 1))
        two, three = category_id(2), category_id(3)
        tree.require_all_children(category_id(1), [three, two], "categories")
        for named in ([two], [two, three, three], [two, category_id(1)]):
            with pytest.raises(InvalidInputError) as refused:
                tree.require_all_children(category_id(1), named, "categories")
            assert list(refused.value.details) == ["categories"]


def test_a_shelf_counts_what_comes_and_goes() -> None:
    listing = ListingId(stream_id("listing", 1))
    shelved = ListingShelved(category_id=category_id(1), listing_id=listing)
    unshelved = ListingUnshelved(category_id=category_id(1), listing_id=listing)
    shelf = CATEGORY_SHELVES.after(None, [shelved, shelved, unshelved])
    assert shelf.listings == 1
