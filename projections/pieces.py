"""Finding a part of a text without reading all texts: by the pieces of three characters that it is made of.

Whatever has a part in it has all the part's pieces, so an index of pieces leaves few texts to be looked at. Postgres'
own extension for this (``pg_trgm``) is not on every server that we run on.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ARRAY, Column, Index, Text
from sqlalchemy.schema import SchemaItem

SIZE: Final = 3


def pieces_of(text: str) -> list[str]:
    """Each once, in order; whether letters are small or capital makes no difference."""
    folded = text.casefold()
    return sorted({folded[start : start + SIZE] for start in range(len(folded) - SIZE + 1)})


def pieces_column(table: str) -> list[SchemaItem]:
    """``pieces``, with its index."""
    return [
        Column("pieces", ARRAY(Text), nullable=False),
        Index(f"idx_{table}_pieces", "pieces", postgresql_using="gin"),
    ]


def has_part(text: str, part: str) -> tuple[list[str], list[Any]]:
    """Conditions, and their parameters, for ``part`` to be in ``text``, SQL for what ``pieces`` were made of.

    What is shorter than a piece is looked for in all texts.
    """
    pieces = pieces_of(part)
    conditions, parameters = [f"strpos(lower({text}), lower(%s)) > 0"], [part]
    return (["pieces @> %s", *conditions], [pieces, *parameters]) if pieces else (conditions, parameters)
