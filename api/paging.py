"""Lists in pages: the parameters choose the shape (C8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Raw

from api.input import Body
from api.wire import encode

MOST_LISTED: Final = 100
IN_A_PAGE: Final = 20
IN_A_SLICE: Final = 10


class ListQuery(Body, frozen=True, kw_only=True):
    """With ``page`` it is S3's pages, else DummyJSON's ``skip``. ``limit`` is 100 at most; 0 asks for that many."""

    page: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    skip: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    limit: Annotated[int, Meta(ge=0)] | None = None

    @property
    def most(self) -> int:
        if self.limit is None:
            return IN_A_SLICE if self.page is None else IN_A_PAGE
        return min(self.limit, MOST_LISTED) or MOST_LISTED

    @property
    def offset(self) -> int:
        return self.skip if self.page is None else (self.page - 1) * self.most


def listed(name: str, entries: Sequence[Mapping[str, Any] | Raw], total: int, asked: ListQuery) -> bytes:
    """The page as it was asked for; ``name`` is what the entries are called in DummyJSON's shape."""
    if asked.page is None:
        return encode({name: entries, "total": total, "skip": asked.skip, "limit": asked.most})
    pages = -(-total // asked.most)
    return encode(
        {
            "data": entries,
            "pagination": {"total": total, "page": asked.page, "limit": asked.most, "pages": pages},
        }
    )
