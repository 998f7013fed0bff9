"""How the category tree is made."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Integer

from domain.categories.category import Category
from domain.categories.events import CategoryCreated
from domain.kernel import Recorded
from projections.projection import Projection, Rows, by_stream, read_model

categories = read_model(
    "categories",
    Column("number", BigInteger, nullable=False),
    Column("sort", Integer, nullable=False),
)


def _fold(category: Category | None, recorded: Recorded[Any], _: UUID) -> Category:
    return Category.evolve(category, recorded.event)


def _row(category: Category) -> dict[str, Any]:
    return {"number": category.number, "sort": category.order}


CATEGORY_TREE = Projection(
    name="categories",
    version=1,
    events=(CategoryCreated,),
    document=Category,
    keys=by_stream,
    fold=_fold,
    into=Rows(table=categories, row=_row),
)
