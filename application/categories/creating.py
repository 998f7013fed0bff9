"""Creating categories, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from application.claims import owner_of
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.slugs import reference_kind, slug_of
from domain.attributes import Attribute
from domain.categories.category import (
    CATEGORIES,
    Category,
    CategoryNotFoundError,
    SlugExistsError,
    require_schema,
)
from domain.categories.events import CATEGORY_TREE, CategoryCreated, TreeEvent
from domain.categories.tree import TREE, CategoryTree, planted
from domain.claims.claim import CLAIMS, Claim
from domain.claims.events import ClaimEvent
from domain.kernel import CategoryId, InvalidInputError, stream_id

CATEGORY_SLUG = "category-slug"
THE_TREE: Final[StreamRef[Any, Any]] = StreamRef(TREE, CATEGORY_TREE)

_AT_A_TIME: Final = 100
_A_WHILE: Final = 3600.0


class CreateCategory(msgspec.Struct, frozen=True, kw_only=True):
    """``parent`` is any reference: integer, uuid or slug. The slug is made from the name where there is none."""

    name: str
    slug: str = ""
    description: str = ""
    image: str = ""
    order: int = 0
    parent: str = ""
    active: bool = True
    attributes: tuple[Attribute, ...] = ()


class PlacedCategory(msgspec.Struct, frozen=True, kw_only=True):
    """A category, and the integer id of the one that it is below."""

    category: Category
    parent_number: int | None

    @property
    def id(self) -> CategoryId:
        return self.category.id


async def create_category(
    command: CreateCategory, metadata: Metadata, *, store: EventStore, keys: Keys, numbers: Numbers
) -> Changed[PlacedCategory]:
    require_schema(command.attributes)
    parent_id = await category_named("parent", command.parent, store, keys) if command.parent else None
    older = await older_categories(store)
    slug = command.slug or slug_of(command.name)
    number = await numbers.next("categories")
    created = CategoryCreated(
        category_id=CategoryId(stream_id("category", number)),
        number=number,
        name=command.name,
        slug=slug,
        description=command.description,
        image=command.image,
        order=command.order,
        parent_id=parent_id,
        active=command.active,
        attributes=command.attributes,
    )
    ref: StreamRef[Any, Any] = StreamRef(CATEGORIES, created.category_id)
    slug_ref = slug_claim(slug, keys)

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[PlacedCategory]:
        claimed = taken(loaded[1].state, created.category_id)
        tree, grown = standing_tree(loaded[2].state, older)
        category = Category.evolve(None, created)
        filed = tree.file(category)
        return Proposal(
            outcome=PlacedCategory(category=category, parent_number=tree.number_of(parent_id)),
            events=[
                (slug_ref, claimed),
                (ref, [created]),
                (THE_TREE, [*grown, *filed]),
            ],
        )

    return await store.change_together([ref, slug_ref, THE_TREE], decide, metadata)


async def category_called(reference: str, store: EventStore, keys: Keys) -> Category:
    """The category of an integer id, a uuid or a slug; ``CategoryNotFoundError`` where there is none, or no more."""
    found = await _recorded(reference, store, keys)
    if found is None or found.deleted:
        raise CategoryNotFoundError("Category not found")
    return found


async def category_for_listings(reference: str, store: EventStore, keys: Keys) -> Category:
    """The same for whoever puts something in it: of one that is deleted, the one that has its listings now."""
    found = await _recorded(reference, store, keys)
    while found is not None and found.successor_id is not None:
        found = (await store.load(CATEGORIES, found.successor_id)).state
    if found is None or found.deleted:
        raise CategoryNotFoundError("Category not found")
    return found


async def category_named(field: str, reference: str, store: EventStore, keys: Keys) -> CategoryId:
    """The category that a field of the input names: not what was asked for, but part of it."""
    try:
        return (await category_called(reference, store, keys)).id
    except CategoryNotFoundError as unknown:
        raise InvalidInputError({field: ["Does not exist"]}) from unknown


async def older_categories(store: EventStore) -> list[Category]:
    """Those that were created before there was a tree: looked for until there is one, and never again.

    Their streams have the names of the numbers from 1 on, so the log itself can tell.
    """
    (tree,) = await store.glance([THE_TREE], within=_A_WHILE)
    found: list[Category] = []
    first = 1
    while tree.state is None:
        numbers = range(first, first + _AT_A_TIME)
        loaded = await store.load_many([StreamRef(CATEGORIES, stream_id("category", n)) for n in numbers])
        known = [each.state for each in loaded if each.state is not None]
        if not known:
            break
        found += known
        first += _AT_A_TIME
    return found


def standing_tree(
    tree: CategoryTree | None, older: Sequence[Category]
) -> tuple[CategoryTree, list[TreeEvent]]:
    """The tree to decide on, and what must be recorded first for it to be so."""
    if tree is not None:
        return tree, []
    events = planted(older)
    return TREE.fold(None, events) or CategoryTree(), events


def slug_claim(slug: str, keys: Keys) -> StreamRef[Any, Any]:
    """Where it stands whose slug this is."""
    return StreamRef(CLAIMS, keys.claim_id(CATEGORY_SLUG, slug))


def taken(claim: Claim | None, category_id: CategoryId) -> list[ClaimEvent]:
    claimed = Claim.take(claim, CATEGORY_SLUG, category_id)
    if claimed is None:
        raise SlugExistsError
    return claimed


async def _recorded(reference: str, store: EventStore, keys: Keys) -> Category | None:
    stream: UUID | None
    match reference_kind(reference):
        case int() as number:
            stream = stream_id("category", number)
        case str() as slug:
            stream = await owner_of(CATEGORY_SLUG, slug, store, keys)
        case uuid:
            stream = uuid
    return None if stream is None else (await store.load(CATEGORIES, stream)).state
