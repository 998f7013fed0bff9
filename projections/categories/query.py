"""Questions to the category tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from domain.attributes import Attribute
from domain.categories.category import Category
from domain.categories.tree import CategoryTree, Place
from domain.kernel import CategoryId
from projections.ports import Reads

_CATEGORY = msgspec.json.Decoder(Category)


class Categories:
    """All categories at one moment, in the order in which they are shown. There are few, and each question needs many.

    Deleted ones are among them as long as their names lead to another; nothing shows them.
    """

    def __init__(self, recorded: Iterable[Category]) -> None:
        self._recorded: dict[CategoryId, Category] = {category.id: category for category in recorded}
        self.standing = [category for category in self._recorded.values() if not category.deleted]
        self._children: dict[CategoryId | None, list[Category]] = {}
        for category in self.standing:
            self._children.setdefault(category.parent_id, []).append(category)
        self._open = {category.id for category in self._found_open(self._children.get(None, ()))}

    def __iter__(self) -> Iterator[Category]:
        """Those that everybody sees: a category that is not active takes all below it out of sight."""
        return (category for category in self.standing if self.is_open(category))

    def is_open(self, category: Category) -> bool:
        return category.id in self._open

    def called(self, reference: int | UUID | str) -> Category | None:
        """The category by any of its names, former slugs included; of a deleted one, that which has its listings."""
        for category in self._recorded.values():
            if reference in (category.number, category.id) or reference in category.slugs:
                return self._standing(category)
        return None

    def children(self, category: Category | None) -> Sequence[Category]:
        return self._children.get(category.id if category else None, ())

    def parent_number(self, category: Category) -> int | None:
        parent = self._recorded.get(category.parent_id) if category.parent_id else None
        return None if parent is None else parent.number

    def branch(self, category: Category) -> list[Category]:
        """The category and those above it, the root first."""
        parent = self._recorded.get(category.parent_id) if category.parent_id else None
        return [category] if parent is None else [*self.branch(parent), category]

    def found_in(self, category: Category) -> list[Category]:
        """The category, those that are open below it, and those that were deleted in favour of one of them."""
        if not self.is_open(category):
            return []
        found = {each.id for each in self._found_open([category])}
        return [
            each
            for each in self._recorded.values()
            if (standing := self._standing(each)) is not None and standing.id in found
        ]

    def _found_open(self, roots: Iterable[Category]) -> list[Category]:
        found = [root for root in roots if root.active]
        for category in found:
            found.extend(child for child in self._children.get(category.id, ()) if child.active)
        return found

    def _standing(self, category: Category) -> Category | None:
        """Nothing where the one that had its listings last was deleted, too, when it was empty."""
        found: Category | None = category
        while found is not None and found.successor_id is not None:
            found = self._recorded.get(found.successor_id)
        return found


class _Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a category is, which is all that it takes to make the tree."""

    id: CategoryId
    number: int
    parent_id: CategoryId | None
    deleted: bool = False
    successor_id: CategoryId | None = None


_PLACED = msgspec.json.Decoder(_Placed)


def tree_from(documents: Iterable[bytes]) -> CategoryTree:
    """The tree of categories as they are written down, for prices to ask what is in which."""
    placed = [_PLACED.decode(document) for document in documents]
    return CategoryTree(
        places={
            each.id: Place(number=each.number, parent_id=each.parent_id)
            for each in placed
            if not each.deleted
        },
        successors={each.id: each.successor_id for each in placed if each.successor_id is not None},
    )


async def all_categories(reads: Reads) -> Categories:
    rows = await reads.all("SELECT document FROM categories ORDER BY sort, number")
    return Categories(_CATEGORY.decode(document) for (document,) in rows)


def with_descendants(categories: Categories, reference: int | UUID | str) -> list[Category]:
    """Where listings are found that are in the category that is called so, or in one that is open below it."""
    category = categories.called(reference)
    return [] if category is None else categories.found_in(category)


def tree_of(
    categories: Categories, *, below: Category | None = None, depth: int | None = None
) -> list[dict[str, Any]]:
    """The roots, or those directly ``below`` one, with their children in them, as everybody sees them (C28).

    ``depth`` is how many levels are shown; nothing means all.
    """
    if depth == 0:
        return []
    further = None if depth is None else depth - 1
    return [
        node_of(categories, child, depth=further)
        for child in categories.children(below)
        if categories.is_open(child)
    ]


def node_of(categories: Categories, category: Category, *, depth: int | None = None) -> dict[str, Any]:
    """The category with all that is open below it."""
    return {
        **category_body(category, categories.parent_number(category)),
        "children": tree_of(categories, below=category, depth=depth),
    }


def category_body(category: Category, parent_number: int | None) -> dict[str, Any]:
    """C28. ``attributes`` are its own ones."""
    return {**changed_body(category, parent_number), "children": []}


def changed_body(category: Category, parent_number: int | None) -> dict[str, Any]:
    """What the category itself knows; all that a command that changes it answers with."""
    return {
        "id": category.number,
        "uuid": str(category.id),
        "name": category.name,
        "slug": category.slug,
        "description": category.description,
        "image": category.image,
        "active": category.active,
        "order": category.order,
        "parentId": parent_number,
        "attributes": [attribute_body(attribute) for attribute in category.attributes],
    }


def kept_body(categories: Categories, category: Category) -> dict[str, Any]:
    """What admins see of it besides: whether everybody does, and what else it is called."""
    return {
        **changed_body(category, categories.parent_number(category)),
        "visible": categories.is_open(category),
        "formerSlugs": category.former_slugs,
        "childCount": len(categories.children(category)),
    }


def schema_body(categories: Categories, category: Category) -> dict[str, Any]:
    """What listings in it can and must say: the inherited attributes first, each with where it is defined."""
    return {
        "attributes": [
            {**attribute_body(attribute), "inherited": each is not category, "category": each.slug}
            for each in categories.branch(category)
            for attribute in each.attributes
        ]
    }


def attribute_body(attribute: Attribute) -> Mapping[str, Any]:
    """``min`` and ``max`` only where there are such bounds."""
    bounds = {"min": attribute.min, "max": attribute.max}
    return {
        "key": attribute.key,
        "label": attribute.label,
        "type": attribute.type,
        "required": attribute.required,
        "options": attribute.options,
        "unit": attribute.unit,
        "filterable": attribute.filterable,
        **{name: bound for name, bound in bounds.items() if bound is not None},
    }
