"""A category: a place in the tree that listings hang in."""

from __future__ import annotations

from typing import Any, assert_never

import msgspec
from msgspec.structs import replace

from domain.attributes import Attribute, faults_of_schema
from domain.categories.events import (
    CategoryActivated,
    CategoryAttributesDefined,
    CategoryCreated,
    CategoryDeactivated,
    CategoryDeleted,
    CategoryEvent,
    CategoryMoved,
    CategoryReordered,
    CategoryUpdated,
    renamed,
)
from domain.kernel import AlreadyExistsError, CategoryId, Decider, InvalidInputError, NotFoundError


class CategoryNotFoundError(NotFoundError):
    code = "CATEGORY_NOT_FOUND"


class SlugExistsError(AlreadyExistsError):
    code = "SLUG_EXISTS"

    def __init__(self) -> None:
        super().__init__("Slug already taken", details={"slug": ["Is already taken"]})


class Category(msgspec.Struct, frozen=True, kw_only=True):
    """What it is by itself; whether it may stand where it would is the tree's to say."""

    id: CategoryId
    number: int
    name: str
    slug: str
    description: str
    image: str
    order: int
    parent_id: CategoryId | None
    active: bool = True
    attributes: tuple[Attribute, ...] = ()
    former_slugs: tuple[str, ...] = ()
    deleted: bool = False
    successor_id: CategoryId | None = None

    @property
    def slugs(self) -> tuple[str, ...]:
        """All that name it. A slug is never given to another category, so that no link ever leads elsewhere."""
        return (self.slug, *self.former_slugs)

    def describe(self, **given: str | None) -> list[CategoryEvent]:
        """Name, slug, description and image, as far as they are given, change."""
        changed: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None and value != getattr(self, name)
        }
        return [CategoryUpdated(category_id=self.id, **changed)] if changed else []

    def move(self, parent_id: CategoryId | None) -> list[CategoryEvent]:
        if parent_id == self.parent_id:
            return []
        return [CategoryMoved(category_id=self.id, parent_id=parent_id)]

    def reorder(self, order: int) -> list[CategoryEvent]:
        return [] if order == self.order else [CategoryReordered(category_id=self.id, order=order)]

    def define_attributes(self, attributes: tuple[Attribute, ...]) -> list[CategoryEvent]:
        """Listings that a stricter schema finds fault with stay as they are until they are edited."""
        require_schema(attributes)
        if attributes == self.attributes:
            return []
        return [CategoryAttributesDefined(category_id=self.id, attributes=attributes)]

    def activate(self) -> list[CategoryEvent]:
        return [] if self.active else [CategoryActivated(category_id=self.id)]

    def deactivate(self) -> list[CategoryEvent]:
        return [CategoryDeactivated(category_id=self.id)] if self.active else []

    def delete(self, successor: Category | None) -> list[CategoryEvent]:
        if successor is None:
            return [CategoryDeleted(category_id=self.id)]
        return [
            CategoryDeleted(category_id=self.id, successor_id=successor.id, successor_slug=successor.slug)
        ]

    @classmethod
    def evolve(cls, category: Category | None, event: CategoryEvent) -> Category:
        if isinstance(event, CategoryCreated):
            return cls(
                id=event.category_id,
                number=event.number,
                name=event.name,
                slug=event.slug,
                description=event.description,
                image=event.image,
                order=event.order,
                parent_id=event.parent_id,
                active=event.active,
                attributes=event.attributes,
            )
        assert category is not None, "a category's first event is CategoryCreated"
        match event:
            case CategoryUpdated(slug=slug):
                former = dict.fromkeys((*category.former_slugs, category.slug))
                former.pop(slug or category.slug, None)
                return replace(category, **renamed(event), former_slugs=tuple(former))
            case CategoryMoved(parent_id=parent_id):
                return replace(category, parent_id=parent_id)
            case CategoryReordered(order=order):
                return replace(category, order=order)
            case CategoryAttributesDefined(attributes=attributes):
                return replace(category, attributes=attributes)
            case CategoryActivated():
                return replace(category, active=True)
            case CategoryDeactivated():
                return replace(category, active=False)
            case CategoryDeleted(successor_id=successor_id):
                return replace(category, deleted=True, successor_id=successor_id)
            case _:
                assert_never(event)


def require_schema(attributes: tuple[Attribute, ...]) -> None:
    if faults := faults_of_schema(attributes):
        raise InvalidInputError(faults)


CATEGORIES: Decider[Category, CategoryEvent] = Decider("categories", Category.evolve)
