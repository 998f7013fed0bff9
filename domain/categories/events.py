"""What can happen to a category, to the tree that they all stand in, and to the shelves that hold their listings."""

from typing import TypeAlias
from uuid import UUID

from domain.attributes import Attribute
from domain.kernel import CategoryId, Event, ListingId, stream_id

CATEGORY_TREE = stream_id("category-tree", "")
"""The one stream in which the tree's shape stands."""

SHELVES = 16
"""Of one category: listings that are created at the same time mostly do not wait for each other."""


def shelf_of(category_id: CategoryId, listing_number: int) -> UUID:
    """The stream in which it is counted that this listing is in this category."""
    return stream_id("category-shelf", f"{category_id}:{listing_number % SHELVES}")


def shelves_of(category_id: CategoryId) -> list[UUID]:
    return [shelf_of(category_id, number) for number in range(SHELVES)]


class CategoryCreated(Event, frozen=True, kw_only=True, tag="category_created"):
    category_id: CategoryId
    number: int
    name: str
    slug: str
    description: str = ""
    image: str = ""
    order: int = 0
    parent_id: CategoryId | None = None
    active: bool = True
    attributes: tuple[Attribute, ...] = ()


class CategoryUpdated(Event, frozen=True, kw_only=True, tag="category_updated"):
    """The new value of each field that changed, ``None`` for the others. An old slug goes on naming the category."""

    category_id: CategoryId
    name: str | None = None
    slug: str | None = None
    description: str | None = None
    image: str | None = None


class CategoryMoved(Event, frozen=True, kw_only=True, tag="category_moved"):
    category_id: CategoryId
    parent_id: CategoryId | None


class CategoryReordered(Event, frozen=True, kw_only=True, tag="category_reordered"):
    category_id: CategoryId
    order: int


class CategoryAttributesDefined(Event, frozen=True, kw_only=True, tag="category_attributes_defined"):
    """All attributes of its own; those that it inherits stand with whom it inherits them from."""

    category_id: CategoryId
    attributes: tuple[Attribute, ...]


class CategoryActivated(Event, frozen=True, kw_only=True, tag="category_activated"):
    category_id: CategoryId


class CategoryDeactivated(Event, frozen=True, kw_only=True, tag="category_deactivated"):
    category_id: CategoryId


class CategoryDeleted(Event, frozen=True, kw_only=True, tag="category_deleted"):
    """``successor_id`` is where its listings are from now on, and what its slugs name; its slug as it was then."""

    category_id: CategoryId
    successor_id: CategoryId | None = None
    successor_slug: str = ""


CategoryEvent: TypeAlias = (
    CategoryCreated
    | CategoryUpdated
    | CategoryMoved
    | CategoryReordered
    | CategoryAttributesDefined
    | CategoryActivated
    | CategoryDeactivated
    | CategoryDeleted
)


class CategoryFiled(Event, frozen=True, kw_only=True, tag="category_filed"):
    """A category's place in the tree, as it is from now on.

    ``uncounted`` ones were there before their listings were counted: nobody can say that they are empty.
    """

    category_id: CategoryId
    number: int
    parent_id: CategoryId | None = None
    active: bool = True
    attributes: tuple[Attribute, ...] = ()
    uncounted: bool = False


class CategoryUnfiled(Event, frozen=True, kw_only=True, tag="category_unfiled"):
    category_id: CategoryId
    successor_id: CategoryId | None = None


TreeEvent: TypeAlias = CategoryFiled | CategoryUnfiled


class ListingShelved(Event, frozen=True, kw_only=True, tag="listing_shelved"):
    """A listing is in the category from now on, recorded with whatever brought it there."""

    category_id: CategoryId
    listing_id: ListingId


class ListingUnshelved(Event, frozen=True, kw_only=True, tag="listing_unshelved"):
    """It is in another one now, or can never come back."""

    category_id: CategoryId
    listing_id: ListingId


ShelfEvent: TypeAlias = ListingShelved | ListingUnshelved


def renamed(event: CategoryUpdated) -> dict[str, str]:
    """The fields that the event gives a new value."""
    fields = ("name", "slug", "description", "image")
    return {name: value for name in fields if (value := getattr(event, name)) is not None}
