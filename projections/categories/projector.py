"""How the category tree is made."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from sqlalchemy import BigInteger, Column, Integer

from domain.categories.category import Category
from domain.categories.events import CategoryEvent
from domain.kernel import Recorded
from projections.projection import Projection, Rows, by_stream, read_model

categories = read_model(
    "categories",
    Column("number", BigInteger, nullable=False),
    Column("sort", Integer, nullable=False),
)


def _fold(category: Category | None, recorded: Recorded[Any], _: UUID) -> Category | None:
    """One that is deleted stays as long as its names lead to the one that has its listings."""
    after = Category.evolve(category, recorded.event)
    return None if after.deleted and after.successor_id is None else after


def _row(category: Category) -> dict[str, Any]:
    return {"number": category.number, "sort": category.order}


CATEGORY_TREE = Projection(
    name="categories",
    version=2,
    events=get_args(CategoryEvent),
    document=Category,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=categories, row=_row),
    # All that is said of one says something of those above and below it.
    effects=lambda before, after: ("categories",),
)
