"""What a price is decided on besides the listings: all of it remembered, so that it costs no round trip of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from application.ports import Loaded, StreamRef
from domain.carts.cart import HeldCoupon
from domain.kernel import AccountId
from domain.promotions.events import OFFERS_ON, redemptions_of
from domain.promotions.offers import OFFERS, Offers
from domain.promotions.promotion import PROMOTIONS
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import Coupon

OFFERS_REF: Final[StreamRef[Any, Any]] = StreamRef(OFFERS, OFFERS_ON)


def deal_refs(held: HeldCoupon | None, account_id: AccountId) -> list[StreamRef[Any, Any]]:
    """The promotions that apply by themselves; and of the coupon, where there is one, its promotion and its counts.

    To be among what a command decides on: the append refuses a price that was decided on what is no longer so.
    """
    if held is None:
        return [OFFERS_REF]
    return [
        OFFERS_REF,
        StreamRef(PROMOTIONS, held.promotion_id),
        StreamRef(REDEMPTIONS, redemptions_of(held.promotion_id)),
        StreamRef(REDEMPTIONS, redemptions_of(held.promotion_id, account_id)),
    ]


def dealt(held: HeldCoupon | None, loaded: Sequence[Loaded[Any]]) -> tuple[Offers | None, Coupon | None]:
    """The same, as they were found."""
    offers: Offers | None = loaded[0].state
    if held is None:
        return offers, None
    promotion, count, own = (each.state for each in loaded[1:])
    return offers, Coupon(
        held=held,
        promotion=promotion,
        used=count.used if count else 0,
        used_by_customer=own.used if own else 0,
    )
