"""Questions to the category tree."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from domain.categories.category import Category
from projections.ports import Reads

_CATEGORY = msgspec.json.Decoder(Category)


async def all_categories(reads: Reads) -> list[Category]:
    """Every category, in the order in which they are shown."""
    rows = await reads.all("SELECT document FROM categories ORDER BY sort, number")
    return [_CATEGORY.decode(document) for (document,) in rows]


async def category_tree(reads: Reads) -> list[dict[str, Any]]:
    """The root categories with their children in them (C28)."""
    return tree_of(await all_categories(reads))


def tree_of(categories: list[Category]) -> list[dict[str, Any]]:
    numbers = {category.id: category.number for category in categories}
    nodes = {
        category.id: category_body(category, numbers.get(category.parent_id) if category.parent_id else None)
        for category in categories
    }
    roots: list[dict[str, Any]] = []
    for category in categories:
        parent = nodes.get(category.parent_id) if category.parent_id else None
        (parent["children"] if parent else roots).append(nodes[category.id])
    return roots


def with_descendants(categories: list[Category], slug: str) -> list[str]:
    """The slugs of a category and of all below it (C22)."""
    children: dict[UUID | None, list[Category]] = {}
    for category in categories:
        children.setdefault(category.parent_id, []).append(category)
    found = [category for category in categories if category.slug == slug]
    for category in found:
        found.extend(children.get(category.id, []))
    return [category.slug for category in found]


def category_body(category: Category, parent_number: int | None) -> dict[str, Any]:
    """C28."""
    return {
        "id": category.number,
        "uuid": str(category.id),
        "name": category.name,
        "slug": category.slug,
        "description": category.description,
        "image": category.image,
        "order": category.order,
        "parentId": parent_number,
        "children": [],
    }
