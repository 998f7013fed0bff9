"""Where a listing is found: in which categories, on whose shelves it is counted, and in which collections."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec

from application.categories.creating import THE_TREE, category_for_listings
from application.collections.keeping import collection_called
from application.ports import EventStore, Keys, Loaded, StreamRef
from domain.attributes import Schema
from domain.categories.category import CATEGORIES, Category, CategoryNotFoundError
from domain.categories.events import ListingShelved, ListingUnshelved, shelf_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import CategoryTree
from domain.collections.collection import COLLECTIONS, CollectionNotFoundError
from domain.kernel import CategoryId, CollectionId, InvalidInputError, ListingId

Changes = list[tuple[StreamRef[Any, Any], Sequence[Any]]]
"""What is recorded in which stream."""

States = Mapping[UUID, Loaded[Any]]
"""What a decision looks at, by stream."""


def by_stream(refs: Sequence[StreamRef[Any, Any]], loaded: Sequence[Loaded[Any]]) -> States:
    return {ref.id: each for ref, each in zip(refs, loaded, strict=True)}


async def categories_named(
    category: str, categories: Sequence[str], store: EventStore, keys: Keys
) -> dict[CategoryId, str]:
    """The categories that are meant, each with the field that names it; ``category``, if any, is the first one.

    They are not what was asked for, but fields of it: the listing is refused as a whole where one is not there (A2).
    """
    named = [("category", category)] if category else []
    named += [(f"categories[{index}]", reference) for index, reference in enumerate(categories)]
    fields: dict[CategoryId, str] = {}
    faults: dict[str, list[str]] = {} if named else {"category": ["Is required"]}
    for field, reference in named:
        try:
            found = await category_for_listings(reference, store, keys)
        except CategoryNotFoundError:
            faults[field] = ["Does not exist"]
        else:
            fields.setdefault(found.id, field)
    if faults:
        raise InvalidInputError(faults)
    return fields


def category_refs(categories: Collection[CategoryId]) -> list[StreamRef[Any, Any]]:
    return [StreamRef(CATEGORIES, category_id) for category_id in categories]


def require_open(fields: Mapping[CategoryId, str], states: States) -> list[Category]:
    """The categories as they are when the listing comes into them: not deleted meanwhile, and to be seen."""
    tree: CategoryTree | None = states[THE_TREE.id].state
    found: list[Category] = []
    faults: dict[str, list[str]] = {}
    for category_id, field in fields.items():
        category: Category | None = states[category_id].state
        if category is None or category.deleted:
            faults[field] = ["Does not exist"]
        elif not category.active or not is_open(category_id, tree):
            faults[field] = ["Is not active"]
        else:
            found.append(category)
    if faults:
        raise InvalidInputError(faults)
    return found


def is_open(category_id: CategoryId, tree: CategoryTree | None) -> bool:
    return tree is None or tree.is_open(tree.standing(category_id))


def schema_of(category_id: CategoryId, tree: CategoryTree | None) -> Schema:
    """What a listing that belongs there says of itself. A deleted category asks for what its successor does."""
    return () if tree is None else tree.schema_of(tree.standing(category_id))


def shelf_refs(listing_number: int, categories: Collection[CategoryId]) -> list[StreamRef[Any, Any]]:
    return [StreamRef(CATEGORY_SHELVES, shelf_of(category_id, listing_number)) for category_id in categories]


def shelved(
    listing_id: ListingId, number: int, before: Sequence[CategoryId], after: Sequence[CategoryId]
) -> Changes:
    """How it is counted in other categories than before.

    What is deleted or sold stays where it is: it may come back, and a category must not go from under it.
    """
    left = [each for each in before if each not in after]
    entered = [each for each in after if each not in before]
    return [
        *zip(
            shelf_refs(number, left),
            ([ListingUnshelved(category_id=each, listing_id=listing_id)] for each in left),
            strict=True,
        ),
        *zip(
            shelf_refs(number, entered),
            ([ListingShelved(category_id=each, listing_id=listing_id)] for each in entered),
            strict=True,
        ),
    ]


class Collecting(msgspec.Struct, frozen=True, kw_only=True):
    """The collections that a listing shall be in, each with the field that names it, and those that it shall leave."""

    fields: Mapping[CollectionId, str] = {}
    left: Sequence[CollectionId] = ()

    @classmethod
    async def of(
        cls,
        collections: Sequence[str],
        store: EventStore,
        keys: Keys,
        *,
        before: Sequence[CollectionId] = (),
    ) -> Collecting:
        """Exactly those that are named, of a listing that was in those ``before``."""
        fields: dict[CollectionId, str] = {}
        faults: dict[str, list[str]] = {}
        for index, reference in enumerate(collections):
            field = f"collections[{index}]"
            try:
                fields.setdefault(await collection_called(reference, store, keys), field)
            except CollectionNotFoundError:
                faults[field] = ["Does not exist"]
        if faults:
            raise InvalidInputError(faults)
        return cls(fields=fields, left=[each for each in before if each not in fields])

    @property
    def refs(self) -> list[StreamRef[Any, Any]]:
        return [StreamRef(COLLECTIONS, each) for each in (*self.fields, *self.left)]

    def decided(self, listing_id: ListingId, states: States) -> Changes:
        """Who is in a collection stands with the collection (C-5)."""
        faults = {
            field: ["Does not exist"]
            for collection_id, field in self.fields.items()
            if (state := states[collection_id].state) is None or state.deleted
        }
        if faults:
            raise InvalidInputError(faults)
        changes: Changes = []
        for ref in self.refs:
            collection = states[ref.id].state
            if collection is not None and not collection.deleted:
                change = collection.add if ref.id in self.fields else collection.remove
                changes.append((ref, change([listing_id])))
        return changes
