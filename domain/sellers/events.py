"""Who sells, and what can happen to them: the contract that everyone reads."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

import msgspec

from domain.kernel import AccountId, Event, Personal, PersonalText, SellerId, stream_id
from domain.money import Money

HOUSE_SELLER = SellerId(stream_id("seller", "house"))
"""The shop itself: the catalogue's products are its own (C57)."""


def seller_of(account_id: AccountId) -> SellerId:
    """The one seller that an account can be (C-2)."""
    return SellerId(stream_id("seller", str(account_id)))


class SellerKind(StrEnum):
    """Somebody who sells now and then, a shop that has been verified, or the house."""

    PERSONAL = "personal"
    SHOP = "shop"
    HOUSE = "house"


class SellerStatus(StrEnum):
    PENDING = "pending_verification"
    VERIFIED = "verified"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    CLOSED = "closed"


SuspensionCause: TypeAlias = Literal["admin", "account"]
"""An admin suspended the seller; or the account behind it is suspended or about to be deleted."""


class ReturnAddress(msgspec.Struct, frozen=True, kw_only=True):
    """Where buyers send goods back to (S3 §3); nothing of it is required."""

    full_name: str = ""
    address: str = ""
    address_line2: str = ""
    city: str = ""
    state: str = ""
    zip_code: str = ""
    country: str = ""
    phone: str = ""


class ShopProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What sellers say of their shop. A shop is often a person, so all of it is personal, its slug included.

    ``slug`` is empty for sellers who have not chosen one: they are known by the number of their account.
    """

    shop_name: str = ""
    slug: str = ""
    category: str = ""
    bio: str = ""
    experience_level: str = ""
    monthly_revenue: str = ""
    platforms: tuple[str, ...] = ()
    social_links: dict[str, str] = msgspec.field(default_factory=dict)
    return_address: ReturnAddress = ReturnAddress()


PersonalProfile = Annotated[ShopProfile, Personal(erased=ShopProfile())]


class ShippingProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What it costs to send something (S3 §4): ``base_cost`` once, ``per_item_cost`` for each unit after the first.

    From ``free_over`` on it costs nothing. No ``countries`` means everywhere.
    """

    name: str = ""
    base_cost: Money = Money(0)
    per_item_cost: Money = Money(0)
    free_over: Money | None = None
    countries: tuple[str, ...] = ()
    handling_days: int = 1


PersonalShipping = Annotated[ShippingProfile, Personal(erased=ShippingProfile())]


class HouseSellerOpened(Event, frozen=True, kw_only=True, tag="house_seller_opened"):
    seller_id: SellerId
    shop_name: str
    slug: str


class PersonalSellerOpened(Event, frozen=True, kw_only=True, tag="personal_seller_opened"):
    """Somebody signed up where everybody may sell (C24)."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId
    account_number: int
    profile: PersonalProfile


class SellerApplied(Event, frozen=True, kw_only=True, tag="seller_applied"):
    """For the first time, or again after a rejection. The terms were agreed to, at ``agreed_at``."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId
    account_number: int
    profile: PersonalProfile
    agreed_at: datetime


class SellerVerified(Event, frozen=True, kw_only=True, tag="seller_verified"):
    seller_id: SellerId
    account_id: AccountId


class SellerRejected(Event, frozen=True, kw_only=True, tag="seller_rejected"):
    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId
    reason: PersonalText = ""


class SellerSuspended(Event, frozen=True, kw_only=True, tag="seller_suspended"):
    """From here on nothing of theirs is for sale. May come once for each cause."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId
    reason: PersonalText = ""
    cause: SuspensionCause


class SuspensionCauseLifted(Event, frozen=True, kw_only=True, tag="suspension_cause_lifted"):
    """One cause is gone, and another one still keeps the seller suspended."""

    seller_id: SellerId
    account_id: AccountId
    cause: SuspensionCause


class SellerReinstated(Event, frozen=True, kw_only=True, tag="seller_reinstated"):
    """The last cause, this one, is gone: what they had for sale is so again."""

    seller_id: SellerId
    account_id: AccountId
    cause: SuspensionCause


class SellerClosed(Event, frozen=True, kw_only=True, tag="seller_closed"):
    """The account was erased: for ever, and nothing that tells who it was is kept."""

    seller_id: SellerId
    account_id: AccountId


class SellerProfileUpdated(Event, frozen=True, kw_only=True, tag="seller_profile_updated"):
    """The whole profile as it is now; ``changed`` names the fields that are new."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId | None
    profile: PersonalProfile
    changed: tuple[str, ...]


class SellerLogoChanged(Event, frozen=True, kw_only=True, tag="seller_logo_changed"):
    """``logo`` is a key of the object store, the URL of a picture elsewhere, or empty."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId | None
    logo: PersonalText


class ShippingProfileAdded(Event, frozen=True, kw_only=True, tag="shipping_profile_added"):
    """What it costs is nobody's secret, but its name is whatever the seller calls it."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId | None
    profile_id: UUID
    profile: PersonalShipping


class ShippingProfileUpdated(Event, frozen=True, kw_only=True, tag="shipping_profile_updated"):
    """The whole shipping profile as it is now."""

    subject = "account_id"

    seller_id: SellerId
    account_id: AccountId | None
    profile_id: UUID
    profile: PersonalShipping


class ShippingProfileRemoved(Event, frozen=True, kw_only=True, tag="shipping_profile_removed"):
    seller_id: SellerId
    profile_id: UUID


SellerEvent: TypeAlias = (
    HouseSellerOpened
    | PersonalSellerOpened
    | SellerApplied
    | SellerVerified
    | SellerRejected
    | SellerSuspended
    | SuspensionCauseLifted
    | SellerReinstated
    | SellerClosed
    | SellerProfileUpdated
    | SellerLogoChanged
    | ShippingProfileAdded
    | ShippingProfileUpdated
    | ShippingProfileRemoved
)
