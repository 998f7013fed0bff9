"""A promotion on the wire (S4 §4 with C-6's fields)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from domain.money import Money
from domain.orders.events import AppliedPromotion
from domain.promotions.events import DiscountType, Scope, Terms
from domain.promotions.promotion import Promotion
from projections.wire import time


class PromotionDocument(msgspec.Struct, frozen=True, kw_only=True):
    promotion: Promotion
    created_at: datetime
    updated_at: datetime


def public_body(promotion: Promotion) -> dict[str, Any]:
    """What everybody sees of one that applies by itself."""
    terms = promotion.terms
    return {
        "id": promotion.number,
        "uuid": str(promotion.id),
        "name": terms.name,
        "slug": terms.slug,
        "description": terms.description,
        "image": terms.image,
        "active": promotion.active,
        "order": terms.order,
        "discountType": terms.discount_type,
        "discountValue": _value(terms),
        "startDate": time(terms.starts_at),
        "endDate": None if terms.ends_at is None else time(terms.ends_at),
        "minSubtotal": terms.min_subtotal.units(),
        "maxDiscount": _units(terms.max_discount),
        "scope": terms.scope.kind,
        "scopeIds": _scope_ids(terms.scope),
    }


def promotion_body(promotion: Promotion) -> dict[str, Any]:
    """What admins see of any; all that a command answers with."""
    terms = promotion.terms
    return {
        **public_body(promotion),
        "code": terms.code or None,
        "usageLimit": terms.usage_limit,
        "perUserLimit": terms.per_customer_limit,
        "stackable": terms.stackable,
        "priority": terms.priority,
    }


def kept_body(document: PromotionDocument, used: int | None) -> dict[str, Any]:
    """The same with how often it was used, if that is counted: what applies by itself is not."""
    return {
        **promotion_body(document.promotion),
        "usedCount": None if document.promotion.automatic else used or 0,
        "createdAt": time(document.created_at),
        "updatedAt": time(document.updated_at),
    }


def applied_body(applied: AppliedPromotion) -> dict[str, Any]:
    return {
        "id": applied.number,
        "uuid": str(applied.promotion_id),
        "name": applied.name,
        "code": applied.code or None,
        "discount": applied.discount.units(),
        "freeShipping": applied.free_shipping,
    }


def _value(terms: Terms) -> float:
    match terms.discount_type:
        case DiscountType.PERCENTAGE:
            return float(terms.percentage)
        case DiscountType.FIXED:
            return terms.amount.units()
        case DiscountType.FREE_SHIPPING:
            return 0


def _scope_ids(scope: Scope) -> list[str]:
    return [*scope.categories, *map(str, (*scope.category_ids, *scope.listings, *scope.sellers))]


def _units(money: Money | None) -> float | None:
    return None if money is None else money.units()
