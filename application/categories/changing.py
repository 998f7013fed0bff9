"""Changing categories, moving them in the tree, and bringing siblings into an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from application.categories.creating import (
    THE_TREE,
    PlacedCategory,
    category_named,
    older_categories,
    slug_claim,
    standing_tree,
    taken,
)
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from domain.attributes import Attribute
from domain.categories.category import CATEGORIES, Category, CategoryNotFoundError
from domain.categories.events import CategoryEvent
from domain.categories.tree import TREE
from domain.kernel import CategoryId


class ChangeCategory(msgspec.Struct, frozen=True, kw_only=True):
    """The fields that are given change; the others stay. ``parent`` is any reference, or ``None`` for the root."""

    category_id: CategoryId
    name: str | None = None
    slug: str | None = None
    description: str | None = None
    image: str | None = None
    order: int | None = None
    active: bool | None = None
    parent: str | UnsetType | None = UNSET
    attributes: tuple[Attribute, ...] | None = None


class OrderCategories(msgspec.Struct, frozen=True, kw_only=True):
    """All categories directly below ``parent`` (or all roots), in the order in which they are to be shown."""

    parent_id: CategoryId | None
    categories: tuple[CategoryId, ...]


async def change_category(
    command: ChangeCategory, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[PlacedCategory]:
    """The old slug goes on naming the category: whatever it was linked by, and what its listings say, stays right."""
    parent_id: CategoryId | UnsetType | None = UNSET
    if isinstance(command.parent, str):
        parent_id = await category_named("parent", command.parent, store, keys)
    elif command.parent is None:
        parent_id = None
    older = await older_categories(store)
    ref: StreamRef[Any, Any] = StreamRef(CATEGORIES, command.category_id)
    claims = [] if command.slug is None else [slug_claim(command.slug, keys)]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[PlacedCategory]:
        category = known(loaded[0].state)
        tree, grown = standing_tree(loaded[1].state, older)
        claimed = [
            (claim, taken(held.state, category.id)) for claim, held in zip(claims, loaded[2:], strict=True)
        ]
        events = _changes(category, command, parent_id)
        changed = CATEGORIES.after(category, events)
        filed = [*grown, *tree.file(changed)]
        standing = TREE.after(tree, filed)
        return Proposal(
            outcome=PlacedCategory(category=changed, parent_number=standing.number_of(changed.parent_id)),
            events=[(ref, events), (THE_TREE, filed), *claimed],
        )

    return await store.change_together([ref, THE_TREE, *claims], decide, metadata)


async def order_categories(
    command: OrderCategories, metadata: Metadata, *, store: EventStore
) -> Changed[list[PlacedCategory]]:
    older = await older_categories(store)
    refs: list[StreamRef[Any, Any]] = [StreamRef(CATEGORIES, each) for each in command.categories]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[list[PlacedCategory]]:
        tree, grown = standing_tree(loaded[0].state, older)
        tree.require_all_children(command.parent_id, command.categories, "categories")
        parent_number = tree.number_of(command.parent_id)
        outcome = []
        events: list[tuple[StreamRef[Any, Any], Sequence[Any]]] = [(THE_TREE, grown)]
        for place, (ref, each) in enumerate(zip(refs, loaded[1:], strict=True), 1):
            category = known(each.state)
            reordered = category.reorder(place)
            events.append((ref, reordered))
            outcome.append(
                PlacedCategory(category=CATEGORIES.after(category, reordered), parent_number=parent_number)
            )
        return Proposal(outcome=outcome, events=events)

    return await store.change_together([THE_TREE, *refs], decide, metadata)


def known(category: Category | None) -> Category:
    if category is None or category.deleted:
        raise CategoryNotFoundError("Category not found")
    return category


def _changes(
    category: Category, command: ChangeCategory, parent_id: CategoryId | UnsetType | None
) -> list[CategoryEvent]:
    events = category.describe(
        name=command.name, slug=command.slug, description=command.description, image=command.image
    )
    if not isinstance(parent_id, UnsetType):
        events += category.move(parent_id)
    if command.order is not None:
        events += category.reorder(command.order)
    if command.attributes is not None:
        events += category.define_attributes(command.attributes)
    if command.active is not None:
        events += category.activate() if command.active else category.deactivate()
    return events
