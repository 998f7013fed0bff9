"""What a price is decided on besides the listings: all of it remembered, so that it costs no round trip of its own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from application.categories.creating import THE_TREE
from application.ports import Loaded, StreamRef
from domain.carts.cart import HeldCoupon
from domain.categories.tree import CategoryTree
from domain.kernel import AccountId
from domain.orders.pricing import Tariff
from domain.orders.shipping import ANYWHERE, Sending
from domain.promotions.events import OFFERS_ON, redemptions_of
from domain.promotions.offers import OFFERS, Offers
from domain.promotions.promotion import PROMOTIONS
from domain.promotions.redemptions import REDEMPTIONS
from domain.redeeming import Coupon, Deals

OFFERS_REF: Final[StreamRef[Any, Any]] = StreamRef(OFFERS, OFFERS_ON)


class Dealt(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a price besides the listings, as it was found."""

    offers: Offers | None
    tree: CategoryTree | None
    coupon: Coupon | None

    def at(self, now: datetime, tariff: Tariff, sending: Sending = ANYWHERE) -> Deals:
        return Deals(
            offers=self.offers, coupon=self.coupon, tree=self.tree, tariff=tariff, at=now, sending=sending
        )


def deal_refs(held: HeldCoupon | None, account_id: AccountId) -> list[StreamRef[Any, Any]]:
    """The promotions that apply by themselves, and the tree of categories, which some of them are for.

    And of the coupon, where there is one, its promotion and its counts. To be among what a command decides on: the
    append refuses a price that was decided on what is no longer so. Orders only read roster and tree, and so do not get
    in each other's way there.
    """
    if held is None:
        return [OFFERS_REF, THE_TREE]
    return [
        OFFERS_REF,
        THE_TREE,
        StreamRef(PROMOTIONS, held.promotion_id),
        StreamRef(REDEMPTIONS, redemptions_of(held.promotion_id)),
        StreamRef(REDEMPTIONS, redemptions_of(held.promotion_id, account_id)),
    ]


def dealt(held: HeldCoupon | None, loaded: Sequence[Loaded[Any]]) -> Dealt:
    """The same, as they were found."""
    offers, tree, *of_coupon = (each.state for each in loaded)
    if held is None:
        return Dealt(offers=offers, tree=tree, coupon=None)
    promotion, count, own = of_coupon
    coupon = Coupon(
        held=held,
        promotion=promotion,
        used=count.used if count else 0,
        used_by_customer=own.used if own else 0,
    )
    return Dealt(offers=offers, tree=tree, coupon=coupon)
