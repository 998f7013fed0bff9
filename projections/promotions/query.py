"""Questions to the list of promotions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.promotions.promotion import Promotion
from projections.keyset import Piece, Question, Sorting, Values
from projections.ports import Reads
from projections.promotions.promotion import PromotionDocument

_PROMOTION: Final = msgspec.json.Decoder(PromotionDocument)

RUNNING: Final = "p.code = '' AND p.active AND p.starts_at <= %s AND (p.ends_at IS NULL OR p.ends_at >= %s)"
"""Of a promotion ``p``: that it applies by itself, at a time that is given twice."""

_USED: Final = "LEFT JOIN redemptions r ON r.key = {of}.redemptions_id"


class FoundPromotion(msgspec.Struct, frozen=True, kw_only=True):
    """``used`` is how often its coupon was used, if ever."""

    document: PromotionDocument
    used: int | None


class PromotionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``active`` none means any; ``words`` are looked for in name, slug and code."""

    active: bool | None = None
    words: str = ""


class PromotionPage(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match."""

    total: int
    promotions: Sequence[FoundPromotion]
    last: Values | None = None


async def running_promotions(reads: Reads, at: datetime) -> list[Promotion]:
    """Those that apply by themselves, now, in the order in which they are shown."""
    rows = await reads.all(f"SELECT document FROM promotions p WHERE {RUNNING} ORDER BY sort, number", at, at)
    return [_PROMOTION.decode(document).promotion for (document,) in rows]


async def promotion_by(reads: Reads, reference: int | UUID | str) -> FoundPromotion | None:
    """The promotion of an integer id, a uuid or a slug."""
    match reference:
        case int():
            condition = "p.number = %s"
        case UUID():
            condition = "p.key = %s"
        case _:
            condition = "p.slug = %s"
    used = _USED.format(of="p")
    row = await reads.one(f"SELECT p.document, r.used FROM promotions p {used} WHERE {condition}", reference)
    return None if row is None else _found(row)


async def promotions_page(reads: Reads, asked: PromotionFilter, piece: Piece) -> PromotionPage:
    conditions = ["true"]
    parameters: list[Any] = []
    if asked.active is not None:
        conditions.append("p.active = %s")
        parameters.append(asked.active)
    if asked.words:
        conditions.append("strpos(lower(concat_ws(' ', p.name, p.slug, p.code)), lower(%s)) > 0")
        parameters.append(asked.words)
    question = Question(
        columns="p.document, p.redemptions_id",
        source="promotions p",
        where=" AND ".join(conditions),
        parameters=parameters,
        beside=_USED.format(of="page"),
        shown="page.document, r.used",
    )
    found = await question.ask(reads, Sorting(by=("p.sort", "p.number")), piece)
    return PromotionPage(total=found.total, promotions=[_found(row) for row in found.rows], last=found.last)


def _found(row: tuple[Any, ...]) -> FoundPromotion:
    return FoundPromotion(document=_PROMOTION.decode(row[0]), used=row[1])
