"""A collection: products that belong together for now, whatever their categories."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec
from msgspec.structs import replace

from domain.collections.events import (
    CollectionActivated,
    CollectionCreated,
    CollectionDeactivated,
    CollectionDeleted,
    CollectionEvent,
    CollectionProductsAdded,
    CollectionProductsArranged,
    CollectionProductsRemoved,
    CollectionReordered,
    CollectionUpdated,
    renamed,
)
from domain.kernel import (
    CollectionId,
    Decider,
    ListingId,
    NotFoundError,
    RuleViolatedError,
    StillReferencedError,
)

MOST_PRODUCTS: Final = 1_000


class CollectionNotFoundError(NotFoundError):
    code = "COLLECTION_NOT_FOUND"


class CollectionNotEmptyError(StillReferencedError):
    code = "COLLECTION_NOT_EMPTY"


class TooManyProductsError(RuleViolatedError):
    code = "COLLECTION_TOO_LARGE"


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """``listings`` are in the order in which they are shown; whether one can be seen just now is its own affair."""

    id: CollectionId
    number: int
    name: str
    slug: str
    description: str
    image: str
    order: int
    active: bool
    listings: tuple[ListingId, ...] = ()
    former_slugs: tuple[str, ...] = ()
    deleted: bool = False

    @property
    def slugs(self) -> tuple[str, ...]:
        """All that name it."""
        return (self.slug, *self.former_slugs)

    def describe(self, **given: str | None) -> list[CollectionEvent]:
        """Name, slug, description and image, as far as they are given, change."""
        changed: dict[str, Any] = {
            name: value for name, value in given.items() if value is not None and value != getattr(self, name)
        }
        return [CollectionUpdated(collection_id=self.id, **changed)] if changed else []

    def reorder(self, order: int) -> list[CollectionEvent]:
        return [] if order == self.order else [CollectionReordered(collection_id=self.id, order=order)]

    def activate(self) -> list[CollectionEvent]:
        return [] if self.active else [CollectionActivated(collection_id=self.id)]

    def deactivate(self) -> list[CollectionEvent]:
        return [CollectionDeactivated(collection_id=self.id)] if self.active else []

    def add(self, listings: Sequence[ListingId]) -> list[CollectionEvent]:
        """Those that are in it already stay where they are."""
        known = set(self.listings)
        new = tuple(each for each in dict.fromkeys(listings) if each not in known)
        if len(self.listings) + len(new) > MOST_PRODUCTS:
            raise TooManyProductsError(f"A collection has at most {MOST_PRODUCTS} products")
        return [CollectionProductsAdded(collection_id=self.id, listings=new)] if new else []

    def remove(self, listings: Sequence[ListingId]) -> list[CollectionEvent]:
        gone = tuple(each for each in self.listings if each in set(listings))
        return [CollectionProductsRemoved(collection_id=self.id, listings=gone)] if gone else []

    def arrange(self, listings: Sequence[ListingId]) -> list[CollectionEvent]:
        """Exactly these are in it from now on, in this order."""
        wanted = tuple(dict.fromkeys(listings))
        if len(wanted) > MOST_PRODUCTS:
            raise TooManyProductsError(f"A collection has at most {MOST_PRODUCTS} products")
        if wanted == self.listings:
            return []
        return [CollectionProductsArranged(collection_id=self.id, listings=wanted)]

    def delete(self) -> list[CollectionEvent]:
        if self.listings:
            raise CollectionNotEmptyError(
                "There are products in the collection", details={"products": len(self.listings)}
            )
        return [CollectionDeleted(collection_id=self.id)]

    @classmethod
    def evolve(cls, collection: Collection | None, event: CollectionEvent) -> Collection:
        if isinstance(event, CollectionCreated):
            return cls(
                id=event.collection_id,
                number=event.number,
                name=event.name,
                slug=event.slug,
                description=event.description,
                image=event.image,
                order=event.order,
                active=event.active,
            )
        assert collection is not None, "a collection's first event is CollectionCreated"
        match event:
            case CollectionUpdated(slug=slug):
                former = dict.fromkeys((*collection.former_slugs, collection.slug))
                former.pop(slug or collection.slug, None)
                return replace(collection, **renamed(event), former_slugs=tuple(former))
            case CollectionReordered(order=order):
                return replace(collection, order=order)
            case CollectionActivated():
                return replace(collection, active=True)
            case CollectionDeactivated():
                return replace(collection, active=False)
            case CollectionProductsAdded(listings=listings):
                return replace(collection, listings=(*collection.listings, *listings))
            case CollectionProductsRemoved(listings=listings):
                gone = set(listings)
                kept = tuple(each for each in collection.listings if each not in gone)
                return replace(collection, listings=kept)
            case CollectionProductsArranged(listings=listings):
                return replace(collection, listings=listings)
            case CollectionDeleted():
                return replace(collection, deleted=True)
            case _:
                assert_never(event)


COLLECTIONS: Decider[Collection, CollectionEvent] = Decider("collections", Collection.evolve)
