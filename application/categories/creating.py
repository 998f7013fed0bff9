"""Creating categories, and finding them by any of their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from application.claims import owner_of
from application.ports import Changed, EventStore, Keys, Loaded, Metadata, Numbers, Proposal, StreamRef
from application.slugs import reference_kind, slug_of
from domain.categories.category import CATEGORIES, Category, CategoryNotFoundError, SlugExistsError
from domain.categories.events import CategoryCreated
from domain.claims.claim import CLAIMS, Claim
from domain.kernel import CategoryId, stream_id

CATEGORY_SLUG = "category-slug"


class CreateCategory(msgspec.Struct, frozen=True, kw_only=True):
    """``parent`` is any reference: integer, uuid or slug. The slug is made from the name where there is none."""

    name: str
    slug: str = ""
    description: str = ""
    image: str = ""
    order: int = 0
    parent: str = ""


async def create_category(
    command: CreateCategory, metadata: Metadata, *, store: EventStore, keys: Keys, numbers: Numbers
) -> Changed[Category]:
    parent = await category_called(command.parent, store, keys) if command.parent else None
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
        parent_id=parent.id if parent else None,
    )
    slug_ref = StreamRef(CLAIMS, keys.claim_id(CATEGORY_SLUG, slug))

    def decide(loaded: Sequence[Loaded[Any]]) -> Proposal[Category]:
        claimed = Claim.take(loaded[0].state, CATEGORY_SLUG, created.category_id)
        if claimed is None:
            raise SlugExistsError("Slug already taken", details={"slug": ["Is already taken"]})
        return Proposal(
            outcome=Category.evolve(None, created),
            events=[(slug_ref, claimed), (StreamRef(CATEGORIES, created.category_id), [created])],
        )

    return await store.change_together([slug_ref], decide, metadata)


async def category_called(reference: str, store: EventStore, keys: Keys) -> Category:
    """The category of an integer id, a uuid or a slug; ``CategoryNotFoundError`` where there is none."""
    match reference_kind(reference):
        case int() as number:
            stream = stream_id("category", number)
        case str() as slug:
            owner = await owner_of(CATEGORY_SLUG, slug, store, keys)
            if owner is None:
                raise CategoryNotFoundError("Category not found", details={"category": ["Does not exist"]})
            stream = owner
        case stream:
            pass
    category = (await store.load(CATEGORIES, stream)).state
    if category is None:
        raise CategoryNotFoundError("Category not found", details={"category": ["Does not exist"]})
    return category
