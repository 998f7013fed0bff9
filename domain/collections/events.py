"""What can happen to a collection."""

from typing import TypeAlias

from domain.kernel import CollectionId, Event, ListingId


class CollectionCreated(Event, frozen=True, kw_only=True, tag="collection_created"):
    collection_id: CollectionId
    number: int
    name: str
    slug: str
    description: str = ""
    image: str = ""
    order: int = 0
    active: bool = True


class CollectionUpdated(Event, frozen=True, kw_only=True, tag="collection_updated"):
    """The new value of each field that changed, ``None`` for the others. An old slug goes on naming the collection."""

    collection_id: CollectionId
    name: str | None = None
    slug: str | None = None
    description: str | None = None
    image: str | None = None


class CollectionReordered(Event, frozen=True, kw_only=True, tag="collection_reordered"):
    collection_id: CollectionId
    order: int


class CollectionActivated(Event, frozen=True, kw_only=True, tag="collection_activated"):
    collection_id: CollectionId


class CollectionDeactivated(Event, frozen=True, kw_only=True, tag="collection_deactivated"):
    collection_id: CollectionId


class CollectionProductsAdded(Event, frozen=True, kw_only=True, tag="collection_products_added"):
    """Behind those that are in it already, in this order."""

    collection_id: CollectionId
    listings: tuple[ListingId, ...]


class CollectionProductsRemoved(Event, frozen=True, kw_only=True, tag="collection_products_removed"):
    collection_id: CollectionId
    listings: tuple[ListingId, ...]


class CollectionProductsArranged(Event, frozen=True, kw_only=True, tag="collection_products_arranged"):
    """All that are in it, in their new order."""

    collection_id: CollectionId
    listings: tuple[ListingId, ...]


class CollectionDeleted(Event, frozen=True, kw_only=True, tag="collection_deleted"):
    collection_id: CollectionId


CollectionEvent: TypeAlias = (
    CollectionCreated
    | CollectionUpdated
    | CollectionReordered
    | CollectionActivated
    | CollectionDeactivated
    | CollectionProductsAdded
    | CollectionProductsRemoved
    | CollectionProductsArranged
    | CollectionDeleted
)


def renamed(event: CollectionUpdated) -> dict[str, str]:
    """The fields that the event gives a new value."""
    fields = ("name", "slug", "description", "image")
    return {name: value for name in fields if (value := getattr(event, name)) is not None}
