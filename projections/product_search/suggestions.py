"""How both engines put together what somebody may mean who is still typing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.categories.category import Category
from projections.products.query import Suggestion


def begins(words: Sequence[str], beginnings: Sequence[Sequence[str]]) -> bool:
    """Whether one of each of ``beginnings``, of which there are some, is that of a word."""
    return bool(beginnings) and all(
        any(word.startswith(tuple(each)) for word in words) for each in beginnings
    )


def put_together(
    categories: Sequence[Category], brands: Sequence[str], products: Iterable[Suggestion], limit: int
) -> list[Suggestion]:
    """A third of them categories and brands each at most, before the products."""
    most = max(1, limit // 3)
    return [
        *(Suggestion(text=each.name, kind="category", slug=each.slug) for each in categories[:most]),
        *(Suggestion(text=brand, kind="brand") for brand in brands[:most]),
        *products,
    ][:limit]
