"""Questions to the collections, and to the products in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from projections.keyset import Piece, Question, Sorting, Values
from projections.ports import Reads

_COLUMNS: Final = "key, active, body, listings, slugs"


class FoundCollection(msgspec.Struct, frozen=True, kw_only=True):
    """A collection as ready bytes. ``listings`` are all that are in it, in order, whether they can be seen or not."""

    key: UUID
    active: bool
    body: bytes
    listings: Sequence[UUID]
    slugs: Sequence[str]


class CollectionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``active`` none means any; ``words`` are looked for in the name."""

    active: bool | None = None
    words: str = ""


class CollectionsFound(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match."""

    total: int
    collections: Sequence[FoundCollection]
    last: Values | None = None


async def active_collections(reads: Reads) -> list[bytes]:
    rows = await reads.all("SELECT body FROM collections WHERE active ORDER BY sort, number")
    return [body for (body,) in rows]


async def collections_page(reads: Reads, asked: CollectionFilter, piece: Piece) -> CollectionsFound:
    conditions = ["true"]
    parameters: list[Any] = []
    if asked.active is not None:
        conditions.append("active = %s")
        parameters.append(asked.active)
    if asked.words:
        conditions.append("strpos(lower(name), lower(%s)) > 0")
        parameters.append(asked.words)
    question = Question(
        columns=_COLUMNS, source="collections", where=" AND ".join(conditions), parameters=parameters
    )
    found = await question.ask(reads, Sorting(by=("sort", "number")), piece)
    return CollectionsFound(
        total=found.total, collections=[_found(row) for row in found.rows], last=found.last
    )


async def collection_by(reads: Reads, reference: int | UUID | str) -> FoundCollection | None:
    """The collection of an integer id, a uuid, or a slug that it has or had."""
    match reference:
        case int():
            row = await reads.one(f"SELECT {_COLUMNS} FROM collections WHERE number = %s", reference)
        case UUID():
            row = await reads.one(f"SELECT {_COLUMNS} FROM collections WHERE key = %s", reference)
        case _:
            row = await reads.one(f"SELECT {_COLUMNS} FROM collections WHERE slugs @> %s", [reference])
    return None if row is None else _found(row)


async def collections_with(reads: Reads, categories: Sequence[UUID]) -> list[bytes]:
    """The active collections in which there is something to be seen of these categories."""
    rows = await reads.all(
        """
        SELECT c.body FROM collections c
        WHERE c.active AND EXISTS (
            SELECT 1 FROM products p
            WHERE p.key = ANY(c.listings) AND p.visible AND p.category_ids && %s
        )
        ORDER BY c.sort, c.number
        """,
        list(categories),
    )
    return [body for (body,) in rows]


def _found(row: tuple[Any, ...]) -> FoundCollection:
    key, active, body, listings, slugs = row
    return FoundCollection(key=key, active=active, body=body, listings=listings, slugs=slugs)
