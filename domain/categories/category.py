"""A category: a place in the tree that listings hang in."""

from __future__ import annotations

import msgspec

from domain.categories.events import CategoryEvent
from domain.kernel import AlreadyExistsError, CategoryId, Decider, NotFoundError


class CategoryNotFoundError(NotFoundError):
    code = "CATEGORY_NOT_FOUND"


class SlugExistsError(AlreadyExistsError):
    code = "SLUG_EXISTS"


class Category(msgspec.Struct, frozen=True, kw_only=True):
    id: CategoryId
    number: int
    name: str
    slug: str
    description: str
    image: str
    order: int
    parent_id: CategoryId | None

    @classmethod
    def evolve(cls, _: Category | None, event: CategoryEvent) -> Category:
        return cls(
            id=event.category_id,
            number=event.number,
            name=event.name,
            slug=event.slug,
            description=event.description,
            image=event.image,
            order=event.order,
            parent_id=event.parent_id,
        )


CATEGORIES: Decider[Category, CategoryEvent] = Decider("categories", Category.evolve)
