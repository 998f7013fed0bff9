"""A table of figures: what was measured, what came out, what was aimed at."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console
from rich.table import Table


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """``target`` is empty where nothing was aimed at."""

    name: str
    value: str
    target: str = ""
    reached: bool = True


def show(title: str, rows: Sequence[Row]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("", "measured", "aim", ""):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            row.name, row.value, row.target, ("reached" if row.reached else "MISSED") if row.target else ""
        )
    Console(width=140).print(table)
