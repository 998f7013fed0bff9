"""What can happen to a category."""

from typing import TypeAlias

from domain.kernel import CategoryId, Event


class CategoryCreated(Event, frozen=True, kw_only=True, tag="category_created"):
    category_id: CategoryId
    number: int
    name: str
    slug: str
    description: str = ""
    image: str = ""
    order: int = 0
    parent_id: CategoryId | None = None


CategoryEvent: TypeAlias = CategoryCreated
