"""What can happen to a promotion, to the roster of those that apply by themselves, and to a coupon's count."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from domain.kernel import (
    AccountId,
    CategoryId,
    Event,
    ListingId,
    OrderId,
    PromotionId,
    RedemptionsId,
    SellerId,
    stream_id,
)
from domain.money import Money

OFFERS_ON: Final = stream_id("roster", "promotions")


def redemptions_of(promotion_id: PromotionId, account_id: AccountId | None = None) -> RedemptionsId:
    """Where it is counted how often a coupon was used: by everybody together, or by one account."""
    whose = "" if account_id is None else f":{account_id}"
    return RedemptionsId(stream_id("redemptions", f"{promotion_id}{whose}"))


class DiscountType(StrEnum):
    """C-6."""

    PERCENTAGE = "percentage"
    FIXED = "fixed"
    FREE_SHIPPING = "free_shipping"


class ScopeKind(StrEnum):
    ALL = "all"
    CATEGORIES = "categories"
    PRODUCTS = "products"
    SELLERS = "sellers"


class CouponFault(StrEnum):
    """Why a coupon takes nothing off. An unknown code is told like one whose time is over: nobody can guess codes."""

    NOT_VALID = "NOT_VALID"
    USAGE_LIMIT_REACHED = "USAGE_LIMIT_REACHED"
    CUSTOMER_LIMIT_REACHED = "CUSTOMER_LIMIT_REACHED"
    MINIMUM_NOT_MET = "MINIMUM_NOT_MET"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    BETTER_OFFER_APPLIES = "BETTER_OFFER_APPLIES"


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines it is for; of the lists only that of its kind is filled.

    A category is meant with all that is below it. ``categories`` are slugs, as listings say them: of promotions that
    were made before there were ``category_ids``.
    """

    kind: ScopeKind = ScopeKind.ALL
    categories: tuple[str, ...] = ()
    category_ids: tuple[CategoryId, ...] = ()
    listings: tuple[ListingId, ...] = ()
    sellers: tuple[SellerId, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether it names nothing, which only that of all need not."""
        return not (self.categories or self.category_ids or self.listings or self.sellers)

    def holds(
        self, listing_id: ListingId, seller_id: SellerId, category: str, category_path: Collection[CategoryId]
    ) -> bool:
        match self.kind:
            case ScopeKind.ALL:
                return True
            case ScopeKind.CATEGORIES:
                return category in self.categories or any(each in category_path for each in self.category_ids)
            case ScopeKind.PRODUCTS:
                return listing_id in self.listings
            case ScopeKind.SELLERS:
                return seller_id in self.sellers


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What is promised. Without a ``code`` it applies by itself; with one (in capitals) it is a coupon.

    ``percentage`` counts for a percentage, which takes off ``max_discount`` at most, and ``amount`` for a fixed sum.
    ``min_subtotal`` is asked of the whole order, before anything is taken off it. One that is not ``stackable``
    applies alone. The dearest ``priority`` comes first.
    """

    name: str
    slug: str
    description: str = ""
    image: str = ""
    order: int = 0
    code: str = ""
    discount_type: DiscountType
    percentage: Decimal = Decimal(0)
    amount: Money = Money(0)
    max_discount: Money | None = None
    min_subtotal: Money = Money(0)
    usage_limit: int | None = None
    per_customer_limit: int | None = None
    scope: Scope = Scope()
    starts_at: datetime
    ends_at: datetime | None = None
    stackable: bool = False
    priority: int = 0

    def running(self, at: datetime) -> bool:
        return self.starts_at <= at and not self.ended(at)

    def ended(self, at: datetime) -> bool:
        return self.ends_at is not None and at > self.ends_at


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A promotion as pricing sees it."""

    promotion_id: PromotionId
    number: int
    terms: Terms


class PromotionCreated(Event, frozen=True, kw_only=True, tag="promotion_created"):
    promotion_id: PromotionId
    number: int
    active: bool
    terms: Terms


class PromotionUpdated(Event, frozen=True, kw_only=True, tag="promotion_updated"):
    """These are its terms from now on, all of them."""

    promotion_id: PromotionId
    terms: Terms


class PromotionActivated(Event, frozen=True, kw_only=True, tag="promotion_activated"):
    promotion_id: PromotionId


class PromotionDeactivated(Event, frozen=True, kw_only=True, tag="promotion_deactivated"):
    promotion_id: PromotionId


class PromotionDeleted(Event, frozen=True, kw_only=True, tag="promotion_deleted"):
    promotion_id: PromotionId


PromotionEvent: TypeAlias = (
    PromotionCreated | PromotionUpdated | PromotionActivated | PromotionDeactivated | PromotionDeleted
)


class OfferPosted(Event, frozen=True, kw_only=True, tag="offer_posted"):
    """It applies by itself, on these terms, within its window."""

    offer: Offer


class OfferWithdrawn(Event, frozen=True, kw_only=True, tag="offer_withdrawn"):
    promotion_id: PromotionId


OfferEvent: TypeAlias = OfferPosted | OfferWithdrawn


class CouponRedeemed(Event, frozen=True, kw_only=True, tag="coupon_redeemed"):
    promotion_id: PromotionId
    order_id: OrderId
    account_id: AccountId


class CouponRedemptionReleased(Event, frozen=True, kw_only=True, tag="coupon_redemption_released"):
    """The order came to nothing: what it used can be used again."""

    promotion_id: PromotionId
    order_id: OrderId
    account_id: AccountId


RedemptionEvent: TypeAlias = CouponRedeemed | CouponRedemptionReleased
