"""Questions to the list of promotions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from domain.promotions.promotion import Promotion
from projections.ports import Reads
from projections.promotions.promotion import PromotionDocument

_PROMOTION: Final = msgspec.json.Decoder(PromotionDocument)

RUNNING: Final = "p.code = '' AND p.active AND p.starts_at <= %s AND (p.ends_at IS NULL OR p.ends_at >= %s)"
"""Of a promotion ``p``: that it applies by itself, at a time that is given twice."""

_USED: Final = "LEFT JOIN redemptions r ON r.key = p.redemptions_id"


class FoundPromotion(msgspec.Struct, frozen=True, kw_only=True):
    """``used`` is how often its coupon was used, if ever."""

    document: PromotionDocument
    used: int | None


class PromotionFilter(msgspec.Struct, frozen=True, kw_only=True):
    """``active`` none means any; ``words`` are looked for in name, slug and code."""

    active: bool | None = None
    words: str = ""
    skip: int = 0
    limit: int = 20


class PromotionPage(msgspec.Struct, frozen=True, kw_only=True):
    """``total`` counts all that match."""

    total: int
    promotions: Sequence[FoundPromotion]


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
    row = await reads.one(f"SELECT p.document, r.used FROM promotions p {_USED} WHERE {condition}", reference)
    return None if row is None else _found(row)


async def promotions_page(reads: Reads, asked: PromotionFilter) -> PromotionPage:
    conditions = ["true"]
    parameters: list[Any] = []
    if asked.active is not None:
        conditions.append("p.active = %s")
        parameters.append(asked.active)
    if asked.words:
        conditions.append("strpos(lower(concat_ws(' ', p.name, p.slug, p.code)), lower(%s)) > 0")
        parameters.append(asked.words)
    where = " AND ".join(conditions)
    counted = await reads.one(f"SELECT count(*) FROM promotions p WHERE {where}", *parameters)
    assert counted is not None
    rows = await reads.all(
        f"SELECT p.document, r.used FROM promotions p {_USED} WHERE {where} "
        "ORDER BY p.sort, p.number OFFSET %s LIMIT %s",
        *parameters,
        asked.skip,
        asked.limit,
    )
    return PromotionPage(total=counted[0], promotions=[_found(row) for row in rows])


def _found(row: tuple[Any, ...]) -> FoundPromotion:
    return FoundPromotion(document=_PROMOTION.decode(row[0]), used=row[1])
