"""Deleting categories: empty ones, or with another one that takes what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.categories.changing import known
from application.categories.creating import (
    CATEGORY_SLUG,
    THE_TREE,
    category_called,
    category_named,
    older_categories,
    slug_claim,
    standing_tree,
)
from application.errors import ConcurrentChangeError
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Proposal, StreamRef
from domain.categories.category import CATEGORIES, Category
from domain.categories.events import shelves_of
from domain.categories.shelf import CATEGORY_SHELVES
from domain.categories.tree import TREE, CategoryTree
from domain.claims.claim import Claim
from domain.kernel import CategoryId, DomainError


class DeleteCategory(msgspec.Struct, frozen=True, kw_only=True):
    """Both are any reference; ``reassign_to``, if any, takes its listings and children."""

    category: str
    reassign_to: str = ""


class _Plan(msgspec.Struct, frozen=True):
    """What a deletion has to look at: as it is found beforehand, and as it must still be when it is decided."""

    slugs: tuple[str, ...]
    children: tuple[CategoryId, ...]
    counted: tuple[CategoryId, ...]

    @classmethod
    def of(cls, category: Category, tree: CategoryTree, successor_id: CategoryId | None) -> _Plan:
        if successor_id is not None:
            return cls((), tuple(tree.children(category.id)), ())
        return cls(category.slugs, (), (category.id, *tree.predecessors(category.id)))


class _Planned(msgspec.Struct, frozen=True, kw_only=True):
    id: CategoryId
    successor_id: CategoryId | None
    older: Sequence[Category]
    plan: _Plan


async def delete_category(
    command: DeleteCategory, metadata: Metadata, *, store: EventStore, keys: Keys
) -> Changed[Category]:
    """Listings that it has are not touched: whoever meets one of them finds the successor instead of the category.

    So its slugs go on naming the successor. Those of a category that leaves nothing behind are free again.
    """
    try:
        planned = await _planned(command, store, keys)
    except DomainError:
        # What the first try did may be just why this one finds nothing.
        if metadata.once is not None:
            await store.raise_if_answered(metadata.once)
        raise
    plan, successor_id, older = planned.plan, planned.successor_id, planned.older
    ref: StreamRef[Any, Any] = StreamRef(CATEGORIES, planned.id)
    claims = [slug_claim(slug, keys) for slug in plan.slugs]
    successors: list[StreamRef[Any, Any]] = [
        StreamRef(CATEGORIES, each) for each in (successor_id,) if each is not None
    ]
    children: list[StreamRef[Any, Any]] = [StreamRef(CATEGORIES, child) for child in plan.children]
    shelves = [
        StreamRef(CATEGORY_SHELVES, shelf) for counted in plan.counted for shelf in shelves_of(counted)
    ]

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Category]:
        category = known(loaded[0].state)
        tree, filed = standing_tree(loaded[1].state, older)
        if _Plan.of(category, tree, successor_id) != plan:
            raise ConcurrentChangeError("Somebody else changed the category at the same time")
        rest = iter(loaded[2:])
        successor = known(next(rest).state) if successors else None
        released = [(claim, Claim.release(next(rest).state, CATEGORY_SLUG, category.id)) for claim in claims]
        if successor_id is not None:
            tree.require_successor(category.id, successor_id)
        moved: list[tuple[StreamRef[Any, Any], Sequence[Any]]] = []
        for child in children:
            state = known(next(rest).state)
            moves = state.move(successor_id)
            moved.append((child, moves))
            places = tree.file(CATEGORIES.after(state, moves))
            filed += places
            tree = TREE.evolve(tree, places[0])
        listings = sum(shelf.state.listings for shelf in rest if shelf.state is not None)
        filed += tree.remove(category.id, successor_id, listings=listings)
        events = category.delete(successor)
        return Proposal(
            outcome=CATEGORIES.after(category, events),
            events=[(ref, events), *moved, (THE_TREE, filed), *released],
        )

    refs = [ref, THE_TREE, *successors, *claims, *children, *shelves]
    return await store.change_together(refs, decide, metadata)


async def _planned(command: DeleteCategory, store: EventStore, keys: Keys) -> _Planned:
    found = await category_called(command.category, store, keys)
    successor_id = None
    if command.reassign_to:
        successor_id = await category_named("reassignTo", command.reassign_to, store, keys)
    older = await older_categories(store)
    category, of_tree = await store.load_many([StreamRef(CATEGORIES, found.id), THE_TREE])
    tree, _ = standing_tree(of_tree.state, older)
    plan = _Plan.of(known(category.state), tree, successor_id)
    return _Planned(id=found.id, successor_id=successor_id, older=older, plan=plan)
