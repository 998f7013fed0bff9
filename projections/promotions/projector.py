"""How the list of promotions is made, and beside it how often each coupon was used."""

from __future__ import annotations

from typing import Any, get_args
from uuid import UUID

from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, Text, Uuid

from domain.kernel import Recorded
from domain.promotions.events import PromotionEvent, RedemptionEvent, redemptions_of
from domain.promotions.promotion import Promotion
from domain.promotions.redemptions import Redemptions
from projections.projection import Projection, Rows, by_stream, read_model
from projections.promotions.promotion import PromotionDocument

promotions = read_model(
    "promotions",
    Column("number", BigInteger, nullable=False),
    Column("slug", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("sort", Integer, nullable=False),
    Column("redemptions_id", Uuid, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True)),
    Column("by_category", Boolean, nullable=False),
    Index("idx_promotions_number", "number", unique=True),
    Index("idx_promotions_slug", "slug"),
    Index("idx_promotions_code", "code", "active", "ends_at"),
    Index("idx_promotions_sort", "sort", "number"),
    Index("idx_promotions_active", "active", "sort", "number"),
)
"""No two have one slug, which the log sees to. Here it is not asked for: a slug may change hands within a batch, and
rows are written one after the other. ``by_category`` says that it takes the tree of categories to know what it is for.
"""

redemptions = read_model("redemptions", Column("used", BigInteger, nullable=False))


def _fold_promotion(
    document: PromotionDocument | None, recorded: Recorded[Any], _: UUID
) -> PromotionDocument | None:
    at = recorded.timestamp
    if document is None:
        return PromotionDocument(
            promotion=Promotion.evolve(None, recorded.event), created_at=at, updated_at=at
        )
    promotion = Promotion.evolve(document.promotion, recorded.event)
    return None if promotion.deleted else replace(document, promotion=promotion, updated_at=at)


def _promotion_row(document: PromotionDocument) -> dict[str, Any]:
    promotion, terms = document.promotion, document.promotion.terms
    return {
        "number": promotion.number,
        "slug": terms.slug,
        "name": terms.name,
        "code": terms.code,
        "active": promotion.active,
        "sort": terms.order,
        "redemptions_id": redemptions_of(promotion.id),
        "starts_at": terms.starts_at,
        "ends_at": terms.ends_at,
        "by_category": bool(terms.scope.category_ids),
    }


def _fold_redemptions(count: Redemptions | None, recorded: Recorded[Any], _: UUID) -> Redemptions:
    return Redemptions.evolve(count, recorded.event)


PROMOTION_LIST = Projection(
    name="promotions",
    version=2,
    events=get_args(PromotionEvent),
    document=PromotionDocument,
    keys=by_stream,
    fold=_fold_promotion,
    into=Rows(table=promotions, row=_promotion_row),
)

REDEMPTION_COUNTS = Projection(
    name="redemptions",
    version=1,
    events=get_args(RedemptionEvent),
    document=Redemptions,
    keys=by_stream,
    fold=_fold_redemptions,
    into=Rows(table=redemptions, row=lambda count: {"used": count.used}),
)
