"""How often a coupon was used: a count for everybody together, and one for each account."""

from __future__ import annotations

from typing import assert_never

import msgspec

from domain.kernel import AccountId, Decider, OrderId, PromotionId
from domain.promotions.events import CouponRedeemed, CouponRedemptionReleased, RedemptionEvent


class Redemptions(msgspec.Struct, frozen=True):
    used: int = 0

    @classmethod
    def redeem(
        cls, promotion_id: PromotionId, order_id: OrderId, account_id: AccountId
    ) -> list[RedemptionEvent]:
        return [CouponRedeemed(promotion_id=promotion_id, order_id=order_id, account_id=account_id)]

    @classmethod
    def release(
        cls, promotion_id: PromotionId, order_id: OrderId, account_id: AccountId
    ) -> list[RedemptionEvent]:
        """For an order that comes to nothing, which happens once in its life."""
        return [CouponRedemptionReleased(promotion_id=promotion_id, order_id=order_id, account_id=account_id)]

    @classmethod
    def evolve(cls, redemptions: Redemptions | None, event: RedemptionEvent) -> Redemptions:
        used = redemptions.used if redemptions else 0
        match event:
            case CouponRedeemed():
                return cls(used + 1)
            case CouponRedemptionReleased():
                return cls(used - 1)
            case _:
                assert_never(event)


REDEMPTIONS: Decider[Redemptions, RedemptionEvent] = Decider(
    "redemptions", Redemptions.evolve, snapshot=Redemptions
)
