"""Lists in pages: the parameters choose the shape (C8), and an opaque cursor tells where a page ended.

A cursor names the last entry of a page by what the list is sorted by, not how many came before, so pages stay right
while entries come and go between them. It is signed, together with the list and the question that it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Annotated, Any, ClassVar, Final, Protocol

import msgspec
from litestar.response.base import ASGIResponse
from msgspec import Meta, Raw
from msgspec.structs import replace

from api.input import Body
from api.wire import answer, encode
from domain.kernel import InvalidInputError
from projections.keyset import Piece, Values
from projections.products.query import Mark

MOST_LISTED: Final = 100
IN_A_PAGE: Final = 20
IN_A_SLICE: Final = 10

_TAG: Final = 16


class Page(Protocol):
    """``total`` counts all that there are, ``last`` is where the page ended, if something follows."""

    @property
    def total(self) -> int: ...

    @property
    def last(self) -> Values | None: ...


class Style(Enum):
    """DummyJSON's and S2's slices by ``skip``, S3's numbered pages, and S0's and S1's cursor."""

    SLICE = auto()
    PAGE = auto()
    CURSOR = auto()


class CursorQuery(Body, frozen=True, kw_only=True):
    """With ``cursor``, be it empty, it goes on where ``nextCursor`` of a page says; else by ``page``, or ``skip``.

    ``limit`` is 100 at most; 0 asks for that many.
    """

    keeps_blank: ClassVar[frozenset[str]] = frozenset({"cursor"})

    page: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    skip: Annotated[int, Meta(ge=0, le=1_000_000_000)] = 0
    limit: Annotated[int, Meta(ge=0)] | None = None
    cursor: Annotated[str, Meta(max_length=2000)] | None = None

    @property
    def style(self) -> Style:
        if self.cursor is not None:
            return Style.CURSOR
        return Style.SLICE if self.page is None else Style.PAGE

    @property
    def most(self) -> int:
        if self.limit is None:
            return IN_A_SLICE if self.style is Style.SLICE else IN_A_PAGE
        return min(self.limit, MOST_LISTED) or MOST_LISTED

    @property
    def offset(self) -> int:
        match self.style:
            case Style.SLICE:
                return self.skip
            case Style.PAGE:
                return ((self.page or 1) - 1) * self.most
            case Style.CURSOR:
                return 0

    @property
    def counted(self) -> bool:
        """Whether the answer says how many there are."""
        return self.style is not Style.CURSOR

    def question(self, list_name: str, *more: Any) -> bytes:
        """What a cursor belongs to: the list and all that was asked for but the piece of it."""
        asked = replace(self, page=None, skip=0, limit=None, cursor=None)
        return encode([list_name, asked, *more])


class Cursors:
    """Any process that has ``key`` opens what another one has sealed."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seal(self, last: Mark | None, question: bytes) -> str | None:
        """Nothing where nothing follows."""
        if last is None:
            return None
        content = msgspec.json.encode(last)
        return base64.urlsafe_b64encode(self._tag(content, question) + content).rstrip(b"=").decode()

    def open(self, asked: CursorQuery, question: bytes) -> Mark | None:
        """Where to go on; nothing at the beginning."""
        if not asked.cursor:
            return None
        try:
            sealed = base64.urlsafe_b64decode(asked.cursor + "=" * (-len(asked.cursor) % 4))
        except (ValueError, binascii.Error):
            sealed = b""
        tag, content = sealed[:_TAG], sealed[_TAG:]
        if not hmac.compare_digest(tag, self._tag(content, question)):
            raise InvalidInputError({"cursor": ["Must be a nextCursor of this list, asked the same way"]})
        return msgspec.json.decode(content, type=Mark)

    def piece(self, asked: CursorQuery, question: bytes) -> Piece:
        """What is asked for of a list that has no more to a cursor than what it is sorted by."""
        mark = self.open(asked, question)
        return Piece(
            skip=asked.offset,
            limit=asked.most,
            after=None if mark is None else mark.values,
            counted=asked.counted,
        )

    def after(self, last: Values | None, question: bytes) -> str | None:
        """The cursor behind such a list's last entry."""
        return None if last is None else self.seal(Mark(engine="", values=last), question)

    def answer(
        self,
        name: str,
        entries: Sequence[Mapping[str, Any] | Raw],
        asked: CursorQuery,
        question: bytes,
        found: Page,
        *,
        position: int = 0,
    ) -> ASGIResponse:
        """Such a list's answer: ``entries`` are what is told of the page that was ``found``."""
        cursor = self.after(found.last, question)
        return answer(paged(name, entries, asked, total=found.total, next_cursor=cursor), position=position)

    def _tag(self, content: bytes, question: bytes) -> bytes:
        framed = b"%d:%b%b" % (len(question), question, content)
        return hmac.digest(self._key, framed, hashlib.sha256)[:_TAG]


def paged(
    name: str,
    entries: Sequence[Mapping[str, Any] | Raw],
    asked: CursorQuery,
    *,
    total: int | None,
    next_cursor: str | None,
    **more: Any,
) -> bytes:
    """The same in each of the three styles; ``more`` is said beside the entries."""
    match asked.style:
        case Style.CURSOR:
            return encode({name: entries, "nextCursor": next_cursor, "limit": asked.most, **more})
        case Style.PAGE:
            return encode({"data": entries, "pagination": _pagination(total or 0, asked), **more})
        case Style.SLICE:
            piece = {"total": total, "skip": asked.skip, "limit": asked.most, "nextCursor": next_cursor}
            return encode({name: entries, **piece, **more})


def _pagination(total: int, asked: CursorQuery) -> dict[str, int]:
    return {"total": total, "page": asked.page or 1, "limit": asked.most, "pages": -(-total // asked.most)}
