"""Questions to the list of returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.orders.events import ReturnStatus
from projections.keyset import Piece, Question, Sorting, Values
from projections.ports import Reads
from projections.returns.returned import ReturnDocument

_decode: Final = msgspec.json.Decoder(ReturnDocument).decode


class ReturnFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``seller_id`` asks for those with something of theirs in them."""

    status: ReturnStatus | None = None
    seller_id: UUID | None = None


class ReturnPage(msgspec.Struct, frozen=True, kw_only=True):
    total: int
    returns: Sequence[ReturnDocument]
    last: Values | None = None


async def returns_page(reads: Reads, asked: ReturnFilter, piece: Piece) -> ReturnPage:
    """The last that was asked for first."""
    conditions: list[str] = []
    parameters: list[Any] = []
    if asked.status is not None:
        conditions.append("status = %s")
        parameters.append(asked.status.value)
    if asked.seller_id is not None:
        conditions.append("seller_ids @> %s")
        parameters.append([asked.seller_id])
    question = Question(
        columns="document", source="returns", where=" AND ".join(conditions) or "true", parameters=parameters
    )
    found = await question.ask(reads, _NEWEST, piece)
    documents = [_decode(document) for (document,) in found.rows]
    return ReturnPage(total=found.total, returns=documents, last=found.last)


_NEWEST: Final = Sorting(by=("requested_at", "key"), descending=True, types=("timestamptz", "uuid"))
