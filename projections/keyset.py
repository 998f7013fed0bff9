"""Pages that go on where another one ended, by what the list is sorted by.

They stay right while rows come and go between them: nothing is shown twice, and nothing left out that was there all
the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from projections.ports import Reads

Values = tuple[int | float | str, ...]
Entry = TypeVar("Entry")
Condition = tuple[str, Sequence[Any]]
"""SQL, and what its ``%s`` are."""

ANY: Sequence[Condition] = (("true", ()),)


class Sorting(msgspec.Struct, frozen=True, kw_only=True):
    """SQL expressions, the last of them unique; all go in one direction, so that what follows is one comparison.

    An index on them finds its beginning. ``parameters`` are for the ``%s`` in all of them together; ``types`` are what
    the values of a mark are cast to, where Postgres could not tell.
    """

    by: Sequence[str]
    descending: bool = False
    parameters: Sequence[Any] = ()
    types: Sequence[str] = ()

    @property
    def direction(self) -> str:
        return "DESC" if self.descending else "ASC"

    def behind(self, values: Sequence[Any] | None) -> tuple[str, list[Any]]:
        """The condition that a row comes after the one that had these values; true where there was none."""
        if values is None:
            return "true", []
        types = self.types or [""] * len(self.by)
        marks = ", ".join(f"%s::{each}" if each else "%s" for each in types)
        compared = "<" if self.descending else ">"
        return f"({', '.join(self.by)}) {compared} ({marks})", [*self.parameters, *values]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """Which piece of a list: ``limit`` entries ``after`` the one that had these values, or after ``skip`` entries.

    ``counted`` asks how many there are in all.
    """

    skip: int = 0
    limit: int = 10
    after: Values | None = None
    counted: bool = True


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """``last`` is what the last row is sorted by, if something follows; ``total`` is 0 where nobody asked."""

    rows: Sequence[tuple[Any, ...]]
    last: Values | None = None
    total: int = 0


async def batch_of(
    reads: Reads,
    rows: str,
    parameters: Sequence[Any],
    *,
    by: Sequence[str],
    after: Sequence[Any] | None,
    most: int,
) -> list[tuple[Any, ...]]:
    """The next rows for who goes through all of them: ``rows`` is a query up to its last condition.

    In the order of ``by``, from the row on that comes after the one with the values ``after``.
    """
    behind, mark = Sorting(by=by).behind(after)
    statement = f"{rows} AND {behind} ORDER BY {', '.join(by)} LIMIT %s"
    return await reads.all(statement, *parameters, *mark, most)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """``columns`` of the rows of ``source`` for which ``where`` holds. Parameters stand with what they are for.

    What is told of the rows of the page alone is joined to ``page`` by ``beside``; ``shown`` then says what is told.

    ``either`` are conditions with their parameters, one of which must hold, and never two. Each is asked by itself, so
    that each goes by an index of its own, which no ``OR`` does.
    """

    columns: str
    source: str
    where: str = "true"
    parameters: Sequence[Any] = ()
    source_parameters: Sequence[Any] = ()
    beside: str = ""
    shown: str = ""
    either: Sequence[Condition] = ANY

    async def ask(self, reads: Reads, sorting: Sorting, piece: Piece) -> Found:
        """The piece and, where it is asked for, the number of all: in one round trip."""
        statement, parameters = self.statement(sorting, piece)
        rows = await reads.all(statement, *parameters)
        total = rows[0][0] if piece.counted else 0
        # Where nothing is on the page there is a row of nothing with the number.
        rows = [row[1:] if piece.counted else row for row in rows if row[-1] is not None]
        shown = rows[: piece.limit]
        width = len(sorting.by)
        last = tuple(map(_plain, shown[-1][-width:])) if shown and len(rows) > piece.limit else None
        return Found(rows=[row[:-width] for row in shown], last=last, total=total)

    def statement(self, sorting: Sorting, piece: Piece) -> tuple[str, list[Any]]:
        """One row more than is asked for tells whether something follows."""
        behind, mark = sorting.behind(piece.after)
        places = range(len(sorting.by))
        by = ", ".join(f"{expression} AS by_{place}" for place, expression in enumerate(sorting.by))
        shown = ", ".join((self.shown, *(f"page.by_{place}" for place in places))) if self.shown else "page.*"
        order = ", ".join(f"page.by_{place} {sorting.direction}" for place in places)
        in_order = f"ORDER BY {order.replace('page.', '')}"
        most = piece.limit + 1
        parts: list[str] = []
        of_page: list[Any] = []
        for condition, parameters in self.either:
            parts.append(
                f"(SELECT {self.columns}, {by} FROM {self.source} WHERE {self.where} AND {condition} AND {behind} "
                f"{in_order} LIMIT %s)"
            )
            before = [*sorting.parameters, *self.source_parameters, *self.parameters]
            of_page += [*before, *parameters, *mark, piece.skip + most]
        page = f"(SELECT * FROM ({' UNION ALL '.join(parts)}) parts {in_order} OFFSET %s LIMIT %s) page"
        of_page += [piece.skip, most]
        if not piece.counted:
            return f"SELECT {shown} FROM {page} {self.beside} ORDER BY {order}", of_page
        if len(self.either) > 1:
            return self._counted_as_found(sorting, piece, by, shown, order)
        ((condition, parameters),) = self.either
        counted = f"(SELECT count(*) AS total FROM {self.source} WHERE {self.where} AND {condition}) counted"
        return (
            f"SELECT total, {shown} FROM {counted} LEFT JOIN {page} ON true {self.beside} ORDER BY {order}",
            [*self.source_parameters, *self.parameters, *parameters, *of_page],
        )

    def _counted_as_found(
        self, sorting: Sorting, piece: Piece, by: str, shown: str, order: str
    ) -> tuple[str, list[Any]]:
        """All are found once, counted, and put in order: what is asked in parts has no one index for its order."""
        parts: list[str] = []
        values: list[Any] = []
        for condition, parameters in self.either:
            parts.append(f"SELECT {self.columns}, {by} FROM {self.source} WHERE {self.where} AND {condition}")
            values += [*sorting.parameters, *self.source_parameters, *self.parameters, *parameters]
        named = replace(sorting, by=tuple(f"by_{place}" for place in range(len(sorting.by))), parameters=())
        behind, mark = named.behind(piece.after)
        found = (
            f"SELECT * FROM matched WHERE {behind} ORDER BY {order.replace('page.', '')} OFFSET %s LIMIT %s"
        )
        statement = (
            f"WITH matched AS MATERIALIZED ({' UNION ALL '.join(parts)}) "
            f"SELECT total, {shown} FROM (SELECT count(*) AS total FROM matched) counted "
            f"LEFT JOIN ({found}) page ON true {self.beside} ORDER BY {order}"
        )
        return statement, [*values, *mark, piece.skip, piece.limit + 1]


def piece_of(
    entries: Sequence[Entry], by: Callable[[Entry], Values], piece: Piece
) -> tuple[Sequence[Entry], Values | None]:
    """The same of entries that are all at hand, in the order of ``by``: the piece, and its mark if more follows."""
    behind = [entry for entry in entries if piece.after is None or by(entry) > piece.after]
    shown = behind[piece.skip : piece.skip + piece.limit]
    follows = len(behind) > piece.skip + piece.limit
    return shown, by(shown[-1]) if shown and follows else None


def _plain(value: Any) -> int | float | str:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
