"""A seller: a person or a shop that may offer things, once it has been verified and unless it is suspended."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

import msgspec
from msgspec.structs import asdict, replace

from domain.kernel import (
    AccountId,
    AlreadyExistsError,
    Decider,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    RuleViolatedError,
    SellerId,
)
from domain.sellers.events import (
    HOUSE_SELLER,
    HouseSellerOpened,
    PersonalSellerOpened,
    SellerApplied,
    SellerClosed,
    SellerEvent,
    SellerKind,
    SellerLogoChanged,
    SellerProfileUpdated,
    SellerReinstated,
    SellerRejected,
    SellerStatus,
    SellerSuspended,
    SellerVerified,
    ShippingProfile,
    ShippingProfileAdded,
    ShippingProfileRemoved,
    ShippingProfileUpdated,
    ShopProfile,
    SuspensionCause,
    SuspensionCauseLifted,
    seller_of,
)

MOST_SHIPPING_PROFILES = 50


class SellerNotFoundError(NotFoundError):
    code = "SELLER_NOT_FOUND"


class ShippingProfileNotFoundError(NotFoundError):
    code = "SHIPPING_PROFILE_NOT_FOUND"


class SellerAlreadyAppliedError(AlreadyExistsError):
    code = "SELLER_ALREADY_APPLIED"


class SellerNotPendingError(AlreadyExistsError):
    """Somebody has decided on the application already, and otherwise (S3-SELL-04 answers 409)."""

    code = "SELLER_NOT_PENDING"


class SellerStatusError(RuleViolatedError):
    code = "INVALID_STATUS_TRANSITION"


class HouseSellerError(RuleViolatedError):
    """The house is no shop like others: nobody decides on it."""

    code = "HOUSE_SELLER"


class SellerRequiredError(ForbiddenError):
    """Only a verified seller may offer anything (C-2)."""

    code = "SELLER_REQUIRED"


class TooManyShippingProfilesError(RuleViolatedError):
    code = "TOO_MANY_SHIPPING_PROFILES"


class Seller(msgspec.Struct, frozen=True, kw_only=True):
    """``stage`` is what was decided on the application, ``suspensions`` why that does not count for now.

    Each suspension stands with what it was explained with, as ``rejection_reason`` does for a rejection.
    """

    id: SellerId
    kind: SellerKind
    stage: SellerStatus
    profile: ShopProfile
    account_id: AccountId | None = None
    account_number: int = 0
    logo: str = ""
    rejection_reason: str = ""
    suspensions: Mapping[SuspensionCause, str] = msgspec.field(default_factory=dict)
    shipping: Mapping[UUID, ShippingProfile] = msgspec.field(default_factory=dict)
    agreed_at: datetime | None = None

    @property
    def status(self) -> SellerStatus:
        if self.stage is SellerStatus.VERIFIED and self.suspensions:
            return SellerStatus.SUSPENDED
        return self.stage

    @property
    def reason(self) -> str:
        """What the status is explained with, to the seller and to admins."""
        if self.status is SellerStatus.SUSPENDED:
            return next(iter(self.suspensions.values()))
        return self.rejection_reason if self.stage is SellerStatus.REJECTED else ""

    @property
    def sells(self) -> bool:
        return self.status is SellerStatus.VERIFIED

    @property
    def entitled(self) -> bool:
        """Whether the account has the role for it: one that is suspended keeps it, and cannot use it."""
        return self.stage is SellerStatus.VERIFIED and "admin" not in self.suspensions

    @staticmethod
    def open_house(house: Seller | None, shop_name: str, slug: str) -> list[SellerEvent]:
        if house is not None:
            return []
        return [HouseSellerOpened(seller_id=HOUSE_SELLER, shop_name=shop_name, slug=slug)]

    @staticmethod
    def open_personal(account_id: AccountId, account_number: int, profile: ShopProfile) -> list[SellerEvent]:
        """The first event of somebody who may sell without being asked who they are (C24)."""
        return [
            PersonalSellerOpened(
                seller_id=seller_of(account_id),
                account_id=account_id,
                account_number=account_number,
                profile=profile,
            )
        ]

    @staticmethod
    def apply(
        seller: Seller | None,
        account_id: AccountId,
        account_number: int,
        profile: ShopProfile,
        *,
        agreed_to_terms: bool,
        at: datetime,
    ) -> list[SellerEvent]:
        if not agreed_to_terms:
            raise InvalidInputError({"agreedToTerms": ["Must be agreed to"]})
        if seller is not None and seller.stage is not SellerStatus.REJECTED:
            raise SellerAlreadyAppliedError(
                "You have applied already"
                if seller.stage is SellerStatus.PENDING
                else "You are a seller already"
            )
        return [
            SellerApplied(
                seller_id=seller_of(account_id),
                account_id=account_id,
                account_number=account_number,
                profile=profile,
                agreed_at=at,
            )
        ]

    def verify(self) -> list[SellerEvent]:
        if self.sells:
            return []
        self._require_pending()
        return [SellerVerified(seller_id=self.id, account_id=self._account())]

    def reject(self, reason: str) -> list[SellerEvent]:
        if self.stage is SellerStatus.REJECTED:
            return []
        self._require_pending()
        return [SellerRejected(seller_id=self.id, account_id=self._account(), reason=reason)]

    def suspend(self, reason: str, *, cause: SuspensionCause = "admin") -> list[SellerEvent]:
        """An admin suspends whoever sells. An account that is suspended takes its seller along at any stage."""
        account_id = self._account()
        if cause in self.suspensions or (self.stage is SellerStatus.CLOSED and cause == "account"):
            return []
        if self.stage is not SellerStatus.VERIFIED and cause == "admin":
            raise SellerStatusError(f"A seller who is {self.stage} cannot be suspended")
        return [SellerSuspended(seller_id=self.id, account_id=account_id, reason=reason, cause=cause)]

    def reinstate(self, *, cause: SuspensionCause = "admin") -> list[SellerEvent]:
        account_id = self._account()
        if cause not in self.suspensions:
            if self.stage is not SellerStatus.VERIFIED and cause == "admin":
                raise SellerStatusError(f"A seller who is {self.stage} cannot be reinstated")
            return []
        if len(self.suspensions) > 1:
            return [SuspensionCauseLifted(seller_id=self.id, account_id=account_id, cause=cause)]
        return [SellerReinstated(seller_id=self.id, account_id=account_id, cause=cause)]

    def close(self) -> list[SellerEvent]:
        """The account behind it is erased."""
        if self.stage is SellerStatus.CLOSED:
            return []
        return [SellerClosed(seller_id=self.id, account_id=self._account())]

    def change_profile(self, **given: Any) -> list[SellerEvent]:
        """The fields of the profile that are given change; one that is ``None`` was not given."""
        self._require_open()
        wanted = {name: value for name, value in given.items() if value is not None}
        profile = replace(self.profile, **wanted)
        before, after = asdict(self.profile), asdict(profile)
        changed = tuple(name for name in after if after[name] != before[name])
        if not changed:
            return []
        return [
            SellerProfileUpdated(
                seller_id=self.id, account_id=self.account_id, profile=profile, changed=changed
            )
        ]

    def change_logo(self, logo: str) -> list[SellerEvent]:
        self._require_open()
        if logo == self.logo:
            return []
        return [SellerLogoChanged(seller_id=self.id, account_id=self.account_id, logo=logo)]

    def add_shipping(self, profile_id: UUID, profile: ShippingProfile) -> list[SellerEvent]:
        self._require_open()
        if len(self.shipping) >= MOST_SHIPPING_PROFILES:
            raise TooManyShippingProfilesError(
                f"A seller has at most {MOST_SHIPPING_PROFILES} shipping profiles"
            )
        return [
            ShippingProfileAdded(
                seller_id=self.id, account_id=self.account_id, profile_id=profile_id, profile=profile
            )
        ]

    def change_shipping(self, profile_id: UUID, profile: ShippingProfile) -> list[SellerEvent]:
        self._require_open()
        if self.shipping_profile(profile_id) == profile:
            return []
        return [
            ShippingProfileUpdated(
                seller_id=self.id, account_id=self.account_id, profile_id=profile_id, profile=profile
            )
        ]

    def remove_shipping(self, profile_id: UUID) -> list[SellerEvent]:
        self._require_open()
        self.shipping_profile(profile_id)
        return [ShippingProfileRemoved(seller_id=self.id, profile_id=profile_id)]

    def shipping_profile(self, profile_id: UUID) -> ShippingProfile:
        try:
            return self.shipping[profile_id]
        except KeyError:
            raise ShippingProfileNotFoundError("Shipping profile not found") from None

    def _account(self) -> AccountId:
        if self.account_id is None:
            raise HouseSellerError("The house is verified for ever")
        return self.account_id

    def _require_pending(self) -> None:
        self._account()
        if self.stage is not SellerStatus.PENDING:
            raise SellerNotPendingError(f"The seller is {self.status}", details={"status": [self.status]})

    def _require_open(self) -> None:
        if self.stage is SellerStatus.CLOSED:
            raise SellerNotFoundError("Seller not found")

    @classmethod
    def evolve(cls, seller: Seller | None, event: SellerEvent) -> Seller:
        match event:
            case HouseSellerOpened():
                return cls(
                    id=event.seller_id,
                    kind=SellerKind.HOUSE,
                    stage=SellerStatus.VERIFIED,
                    profile=ShopProfile(shop_name=event.shop_name, slug=event.slug),
                )
            case PersonalSellerOpened():
                return cls(
                    id=event.seller_id,
                    kind=SellerKind.PERSONAL,
                    stage=SellerStatus.VERIFIED,
                    profile=event.profile,
                    account_id=event.account_id,
                    account_number=event.account_number,
                )
            case SellerApplied() if seller is None:
                return cls(
                    id=event.seller_id,
                    kind=SellerKind.SHOP,
                    stage=SellerStatus.PENDING,
                    profile=event.profile,
                    account_id=event.account_id,
                    account_number=event.account_number,
                    agreed_at=event.agreed_at,
                )
            case _:
                assert seller is not None, "a seller's first event opens it or applies"
        match event:
            case SellerApplied():
                return replace(
                    seller,
                    stage=SellerStatus.PENDING,
                    profile=event.profile,
                    agreed_at=event.agreed_at,
                    rejection_reason="",
                )
            case SellerVerified():
                return replace(seller, stage=SellerStatus.VERIFIED)
            case SellerRejected(reason=reason):
                return replace(seller, stage=SellerStatus.REJECTED, rejection_reason=reason)
            case SellerSuspended(reason=reason, cause=cause):
                return replace(seller, suspensions={**seller.suspensions, cause: reason})
            case SuspensionCauseLifted(cause=cause):
                left = {known: why for known, why in seller.suspensions.items() if known != cause}
                return replace(seller, suspensions=left)
            case SellerReinstated():
                return replace(seller, suspensions={})
            case SellerClosed():
                return cls(
                    id=seller.id,
                    kind=seller.kind,
                    stage=SellerStatus.CLOSED,
                    profile=ShopProfile(),
                    account_id=seller.account_id,
                    account_number=seller.account_number,
                )
            case SellerProfileUpdated(profile=profile):
                return replace(seller, profile=profile)
            case SellerLogoChanged(logo=logo):
                return replace(seller, logo=logo)
            case ShippingProfileAdded() | ShippingProfileUpdated():
                return replace(seller, shipping={**seller.shipping, event.profile_id: event.profile})
            case ShippingProfileRemoved(profile_id=profile_id):
                kept = {known: profile for known, profile in seller.shipping.items() if known != profile_id}
                return replace(seller, shipping=kept)
            case _:
                assert_never(event)


def require_selling(seller: Seller | None) -> None:
    """Whoever offers something must be verified.

    Of whom there are no events, the role decides, which the caller's guard has seen: the house before it is opened,
    and people who were given the role before sellers had events.
    """
    if seller is not None and not seller.sells:
        raise SellerRequiredError(f"This needs a verified seller, and you are {seller.status}")


SELLERS: Decider[Seller, SellerEvent] = Decider("sellers", Seller.evolve)
