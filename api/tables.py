"""Lists as tables (CSV), for spreadsheets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

from litestar import Request
from litestar.response.base import ASGIResponse

from application.reports.spreadsheets import Cell, csv_of

Format: TypeAlias = Literal["json", "csv"]


def is_table(request: Request[Any, Any, Any], asked: Format | None) -> bool:
    """Whether that is what the parameter ``format`` asks for, or else the request's ``Accept``."""
    return asked == "csv" or (asked is None and "text/csv" in request.headers.get("accept", "").lower())


def table(name: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], position: int) -> ASGIResponse:
    """To be kept as ``name``, which is ours."""
    return ASGIResponse(
        body=csv_of(columns, rows),
        encoded_headers=[
            (b"content-type", b"text/csv; charset=utf-8"),
            (b"content-disposition", b'attachment; filename="%b.csv"' % name.encode()),
            (b"x-log-position", b"%d" % position),
        ],
    )
