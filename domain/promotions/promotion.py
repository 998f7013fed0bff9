"""A promotion: what it promises, to whom, and whether it is on."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

import msgspec
from msgspec.structs import replace

from domain.kernel import (
    AlreadyExistsError,
    Decider,
    InvalidInputError,
    NotFoundError,
    PromotionId,
    RuleViolatedError,
)
from domain.promotions.events import (
    CouponFault,
    DiscountType,
    Offer,
    PromotionActivated,
    PromotionCreated,
    PromotionDeactivated,
    PromotionDeleted,
    PromotionEvent,
    PromotionUpdated,
    ScopeKind,
    Terms,
)


class PromotionNotFoundError(NotFoundError):
    code = "PROMOTION_NOT_FOUND"


class CouponExistsError(AlreadyExistsError):
    code = "COUPON_EXISTS"


class CouponNotAppliedError(NotFoundError):
    code = "COUPON_NOT_APPLIED"


_TOLD = {
    CouponFault.NOT_VALID: "This code is not valid",
    CouponFault.USAGE_LIMIT_REACHED: "This code has been used up",
    CouponFault.CUSTOMER_LIMIT_REACHED: "You have used this code as often as you may",
    CouponFault.MINIMUM_NOT_MET: "The order is too small for this code",
    CouponFault.NOT_APPLICABLE: "This code is for other products",
    CouponFault.BETTER_OFFER_APPLIES: "This code cannot be combined with the better offer that applies already",
}


class CouponInvalidError(RuleViolatedError):
    """422, with the reason in its details."""

    code = "COUPON_INVALID"

    def __init__(self, code: str, fault: CouponFault) -> None:
        super().__init__(_TOLD[fault], details={"code": code, "reason": fault.value})


class Promotion(msgspec.Struct, frozen=True, kw_only=True):
    id: PromotionId
    number: int
    active: bool
    deleted: bool
    terms: Terms

    @property
    def automatic(self) -> bool:
        return not self.terms.code

    @property
    def offer(self) -> Offer:
        return Offer(promotion_id=self.id, number=self.number, terms=self.terms)

    @classmethod
    def create(
        cls, promotion_id: PromotionId, number: int, terms: Terms, *, active: bool
    ) -> list[PromotionEvent]:
        _require_sound(terms)
        return [PromotionCreated(promotion_id=promotion_id, number=number, active=active, terms=terms)]

    def change(self, terms: Terms) -> list[PromotionEvent]:
        _require_sound(terms)
        return [] if terms == self.terms else [PromotionUpdated(promotion_id=self.id, terms=terms)]

    def switch(self, *, active: bool) -> list[PromotionEvent]:
        if active == self.active:
            return []
        if active:
            return [PromotionActivated(promotion_id=self.id)]
        return [PromotionDeactivated(promotion_id=self.id)]

    def delete(self) -> list[PromotionEvent]:
        return [] if self.deleted else [PromotionDeleted(promotion_id=self.id)]

    def redeemable(self, code: str, at: datetime) -> bool:
        """Whether it is the coupon of this code, and on."""
        return self.active and not self.deleted and self.terms.code == code and self.terms.running(at)

    @classmethod
    def evolve(cls, promotion: Promotion | None, event: PromotionEvent) -> Promotion:
        if isinstance(event, PromotionCreated):
            return cls(
                id=event.promotion_id,
                number=event.number,
                active=event.active,
                deleted=False,
                terms=event.terms,
            )
        assert promotion is not None, "a promotion's first event is PromotionCreated"
        match event:
            case PromotionUpdated(terms=terms):
                return replace(promotion, terms=terms)
            case PromotionActivated():
                return replace(promotion, active=True)
            case PromotionDeactivated():
                return replace(promotion, active=False)
            case PromotionDeleted():
                return replace(promotion, deleted=True)
            case _:
                assert_never(event)


def found(promotion: Promotion | None) -> Promotion:
    if promotion is None or promotion.deleted:
        raise PromotionNotFoundError("Promotion not found")
    return promotion


def _require_sound(terms: Terms) -> None:
    faults: dict[str, list[str]] = {}
    if terms.ends_at is not None and terms.ends_at <= terms.starts_at:
        faults["endDate"] = ["Must be after startDate"]
    if terms.discount_type is DiscountType.PERCENTAGE and not 0 <= terms.percentage <= 100:
        faults["discountValue"] = ["Must be between 0 and 100"]
    if terms.discount_type is DiscountType.FIXED and terms.amount.minor <= 0:
        faults["discountValue"] = ["Must be greater than 0"]
    if terms.max_discount is not None and terms.discount_type is not DiscountType.PERCENTAGE:
        faults["maxDiscount"] = ["Is for percentages only"]
    if not terms.code:
        # What applies by itself is counted nowhere, so that orders do not wait for each other at the count.
        for name, limit in (("usageLimit", terms.usage_limit), ("perUserLimit", terms.per_customer_limit)):
            if limit is not None:
                faults[name] = ["Is for coupons only"]
    scope = terms.scope
    if scope.kind is not ScopeKind.ALL and scope.empty:
        faults["scopeIds"] = ["Must have at least 1 entries"]
    if faults:
        raise InvalidInputError(faults)


PROMOTIONS: Decider[Promotion, PromotionEvent] = Decider("promotions", Promotion.evolve)
