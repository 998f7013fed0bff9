"""Becoming a seller, being judged, and keeping a shop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel import InvalidInputError
from domain.money import Money
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
from domain.sellers.seller import (
    MOST_SHIPPING_PROFILES,
    SELLERS,
    HouseSellerError,
    Seller,
    SellerAlreadyAppliedError,
    SellerNotFoundError,
    SellerNotPendingError,
    SellerRequiredError,
    SellerStatusError,
    ShippingProfileNotFoundError,
    TooManyShippingProfilesError,
    require_selling,
)
from tests.domain.builders import BUYER, NOW

ID = seller_of(BUYER.account_id)
WHO: dict[str, Any] = {"seller_id": ID, "account_id": BUYER.account_id}
PROFILE = ShopProfile(shop_name="Vintage Vault", slug="vintage-vault", social_links={"instagram": "@vintage"})
APPLIED = SellerApplied(**WHO, account_number=1, profile=PROFILE, agreed_at=NOW)
PERSONAL = PersonalSellerOpened(**WHO, account_number=1, profile=ShopProfile(shop_name="jane"))
HOUSE = HouseSellerOpened(seller_id=HOUSE_SELLER, shop_name="Tradelog", slug="house")
VERIFIED = SellerVerified(**WHO)
REJECTED = SellerRejected(**WHO, reason="blurred papers")
BY_ADMIN = SellerSuspended(**WHO, reason="fakes", cause="admin")
BY_ACCOUNT = SellerSuspended(**WHO, reason="asleep", cause="account")
CLOSED = SellerClosed(**WHO)
SHIPPING_ID = UUID(int=7)
SHIPPING = ShippingProfile(name="Standard", base_cost=Money(500))
SHIPPING_ADDED = ShippingProfileAdded(**WHO, profile_id=SHIPPING_ID, profile=SHIPPING)


def seller_after(*events: SellerEvent) -> Seller:
    return SELLERS.after(None, events)


def apply(seller: Seller | None, *, agreed_to_terms: bool = True) -> list[SellerEvent]:
    return Seller.apply(seller, BUYER.account_id, 1, PROFILE, agreed_to_terms=agreed_to_terms, at=NOW)


class TestApplying:
    def test_an_application_waits_to_be_verified(self) -> None:
        assert apply(None) == [APPLIED]
        assert seller_after(APPLIED).status is SellerStatus.PENDING

    def test_without_agreeing_to_the_terms(self) -> None:
        with pytest.raises(InvalidInputError) as refused:
            apply(None, agreed_to_terms=False)
        assert refused.value.details == {"agreedToTerms": ["Must be agreed to"]}

    @pytest.mark.parametrize(
        "history",
        [
            [APPLIED],
            [APPLIED, VERIFIED],
            [PERSONAL],
            [APPLIED, VERIFIED, BY_ADMIN],
            [APPLIED, VERIFIED, CLOSED],
        ],
    )
    def test_who_has_applied_or_sells_does_not_apply_again(self, history: list[SellerEvent]) -> None:
        with pytest.raises(SellerAlreadyAppliedError):
            apply(seller_after(*history))

    def test_who_was_rejected_may_apply_again(self) -> None:
        rejected = seller_after(APPLIED, REJECTED)
        assert (rejected.status, rejected.reason) == (SellerStatus.REJECTED, "blurred papers")
        assert apply(rejected) == [APPLIED]
        again = seller_after(APPLIED, REJECTED, APPLIED)
        assert (again.status, again.reason) == (SellerStatus.PENDING, "")


class TestBeingBornVerified:
    def test_the_house_and_people_who_sign_up_to_sell(self) -> None:
        assert Seller.open_house(None, "Tradelog", "house") == [HOUSE]
        assert Seller.open_personal(BUYER.account_id, 1, ShopProfile(shop_name="jane")) == [PERSONAL]
        for event, kind in ((HOUSE, SellerKind.HOUSE), (PERSONAL, SellerKind.PERSONAL)):
            seller = seller_after(event)
            assert (seller.kind, seller.status, seller.sells) == (kind, SellerStatus.VERIFIED, True)

    def test_the_house_is_opened_once(self) -> None:
        assert Seller.open_house(seller_after(HOUSE), "Another", "other") == []

    @pytest.mark.parametrize(
        "judge",
        [
            lambda house: house.suspend("no"),
            lambda house: house.suspend("no", cause="account"),
            lambda house: house.reinstate(),
            lambda house: house.reject("no"),
            lambda house: house.close(),
        ],
    )
    def test_nobody_decides_on_the_house(self, judge: Callable[[Seller], object]) -> None:
        with pytest.raises(HouseSellerError):
            judge(seller_after(HOUSE))


class TestJudging:
    def test_an_applicant_is_verified_or_rejected(self) -> None:
        assert seller_after(APPLIED).verify() == [VERIFIED]
        assert seller_after(APPLIED).reject("blurred papers") == [REJECTED]

    def test_the_same_twice_changes_nothing(self) -> None:
        assert seller_after(APPLIED, VERIFIED).verify() == []
        assert seller_after(APPLIED, REJECTED).reject("other words") == []

    @pytest.mark.parametrize(
        ("history", "judge"),
        [
            ([APPLIED, REJECTED], lambda seller: seller.verify()),
            ([APPLIED, VERIFIED], lambda seller: seller.reject("no")),
            ([APPLIED, VERIFIED, BY_ADMIN], lambda seller: seller.verify()),
            ([APPLIED, VERIFIED, BY_ADMIN], lambda seller: seller.reject("no")),
            ([PERSONAL], lambda seller: seller.reject("no")),
            ([APPLIED, CLOSED], lambda seller: seller.verify()),
        ],
    )
    def test_only_who_waits_is_decided_on(
        self, history: list[SellerEvent], judge: Callable[[Seller], object]
    ) -> None:
        with pytest.raises(SellerNotPendingError):
            judge(seller_after(*history))


class TestSuspending:
    def test_a_suspended_seller_sells_nothing_and_goes_on_when_reinstated(self) -> None:
        seller = seller_after(APPLIED, VERIFIED)
        assert seller.suspend("fakes") == [BY_ADMIN]
        suspended = seller_after(APPLIED, VERIFIED, BY_ADMIN)
        assert (suspended.status, suspended.reason, suspended.sells) == (
            SellerStatus.SUSPENDED,
            "fakes",
            False,
        )
        reinstated = SellerReinstated(**WHO, cause="admin")
        assert suspended.reinstate() == [reinstated]
        assert seller_after(APPLIED, VERIFIED, BY_ADMIN, reinstated) == seller

    def test_the_same_twice_changes_nothing(self) -> None:
        assert seller_after(APPLIED, VERIFIED, BY_ADMIN).suspend("again") == []
        assert seller_after(APPLIED, VERIFIED).reinstate() == []

    @pytest.mark.parametrize("history", [[APPLIED], [APPLIED, REJECTED], [APPLIED, VERIFIED, CLOSED]])
    def test_an_admin_suspends_and_reinstates_only_who_sells(self, history: list[SellerEvent]) -> None:
        seller = seller_after(*history)
        with pytest.raises(SellerStatusError):
            seller.suspend("no")
        with pytest.raises(SellerStatusError):
            seller.reinstate()

    def test_an_account_takes_its_seller_along_at_any_stage(self) -> None:
        for history in ([APPLIED], [APPLIED, REJECTED], [PERSONAL]):
            assert seller_after(*history).suspend("asleep", cause="account") == [BY_ACCOUNT]
            back = SellerReinstated(**WHO, cause="account")
            assert seller_after(*history, BY_ACCOUNT).reinstate(cause="account") == [back]
            assert seller_after(*history, BY_ACCOUNT, back) == seller_after(*history)
        assert seller_after(APPLIED, CLOSED).suspend("asleep", cause="account") == []
        assert seller_after(APPLIED, CLOSED).reinstate(cause="account") == []

    def test_who_was_verified_while_the_account_slept_sells_when_it_wakes(self) -> None:
        asleep = seller_after(APPLIED, BY_ACCOUNT)
        assert (asleep.status, asleep.verify()) == (SellerStatus.PENDING, [VERIFIED])
        assert seller_after(APPLIED, BY_ACCOUNT, VERIFIED).status is SellerStatus.SUSPENDED

    @pytest.mark.parametrize(("first", "last"), [("admin", "account"), ("account", "admin")])
    def test_with_two_causes_both_must_go(self, first: SuspensionCause, last: SuspensionCause) -> None:
        suspended = seller_after(PERSONAL, BY_ADMIN, BY_ACCOUNT)
        lifted = SuspensionCauseLifted(**WHO, cause=first)
        assert suspended.reinstate(cause=first) == [lifted]
        one_left = seller_after(PERSONAL, BY_ADMIN, BY_ACCOUNT, lifted)
        assert one_left.reason == {"admin": "fakes", "account": "asleep"}[last]
        assert not one_left.sells
        assert one_left.reinstate(cause=last) == [SellerReinstated(**WHO, cause=last)]

    def test_the_role_goes_with_an_admins_decision_only(self) -> None:
        assert seller_after(PERSONAL, BY_ACCOUNT).entitled
        assert not seller_after(PERSONAL, BY_ADMIN).entitled
        assert not seller_after(APPLIED).entitled


class TestClosing:
    def test_nothing_is_left_that_tells_who_it_was(self) -> None:
        assert seller_after(APPLIED, VERIFIED).close() == [CLOSED]
        closed = seller_after(APPLIED, VERIFIED, SHIPPING_ADDED, BY_ADMIN, CLOSED)
        assert closed == Seller(
            id=ID,
            kind=SellerKind.SHOP,
            stage=SellerStatus.CLOSED,
            profile=ShopProfile(),
            account_id=BUYER.account_id,
            account_number=1,
        )

    def test_it_is_closed_for_ever(self) -> None:
        closed = seller_after(APPLIED, CLOSED)
        assert closed.close() == []
        with pytest.raises(SellerNotFoundError):
            closed.change_profile(bio="again")
        with pytest.raises(SellerNotFoundError):
            closed.change_logo("https://example.com/logo.png")
        with pytest.raises(SellerNotFoundError):
            closed.add_shipping(SHIPPING_ID, SHIPPING)


class TestSelling:
    def test_only_a_verified_seller_may_offer_anything(self) -> None:
        require_selling(seller_after(APPLIED, VERIFIED))
        require_selling(seller_after(HOUSE))
        for history in ([APPLIED], [APPLIED, REJECTED], [PERSONAL, BY_ADMIN], [PERSONAL, CLOSED]):
            with pytest.raises(SellerRequiredError):
                require_selling(seller_after(*history))

    def test_of_whom_there_are_no_events_the_role_has_decided(self) -> None:
        require_selling(None)


class TestTheProfile:
    def test_what_is_given_changes_and_the_rest_stays(self) -> None:
        (event,) = seller_after(APPLIED).change_profile(bio="Old things.", shop_name=None, category="Fashion")
        assert isinstance(event, SellerProfileUpdated)
        assert event.changed == ("category", "bio")
        assert event.profile == ShopProfile(
            shop_name="Vintage Vault",
            slug="vintage-vault",
            social_links={"instagram": "@vintage"},
            category="Fashion",
            bio="Old things.",
        )
        assert seller_after(APPLIED, event).profile == event.profile

    def test_the_same_again_changes_nothing(self) -> None:
        seller = seller_after(APPLIED)
        assert seller.change_profile(shop_name="Vintage Vault", social_links={"instagram": "@vintage"}) == []
        assert seller.change_logo("") == []

    @given(
        st.fixed_dictionaries(
            {},
            optional={
                "shop_name": st.none() | st.text(),
                "bio": st.none() | st.text(),
                "platforms": st.none() | st.lists(st.text()).map(tuple),
                "social_links": st.none() | st.dictionaries(st.text(), st.text()),
            },
        )
    )
    def test_carried_out_twice_is_once(self, given_fields: dict[str, object]) -> None:
        once = seller_after(APPLIED)
        events = once.change_profile(**given_fields)
        twice = seller_after(APPLIED, *events)
        assert twice.change_profile(**given_fields) == []
        assert len(events) <= 1

    def test_a_logo_comes_and_goes(self) -> None:
        (shown,) = seller_after(APPLIED).change_logo("https://example.com/logo.png")
        assert shown == SellerLogoChanged(**WHO, logo="https://example.com/logo.png")
        with_logo = seller_after(APPLIED, shown)
        assert with_logo.change_logo("https://example.com/logo.png") == []
        assert with_logo.change_logo("") == [SellerLogoChanged(**WHO, logo="")]


class TestShippingProfiles:
    def test_one_is_added_changed_and_removed(self) -> None:
        assert seller_after(APPLIED).add_shipping(SHIPPING_ID, SHIPPING) == [SHIPPING_ADDED]
        seller = seller_after(APPLIED, SHIPPING_ADDED)
        dearer = ShippingProfile(name="Standard", base_cost=Money(600))
        updated = ShippingProfileUpdated(**WHO, profile_id=SHIPPING_ID, profile=dearer)
        assert seller.change_shipping(SHIPPING_ID, dearer) == [updated]
        assert seller.change_shipping(SHIPPING_ID, SHIPPING) == []
        assert seller_after(APPLIED, SHIPPING_ADDED, updated).shipping == {SHIPPING_ID: dearer}
        removed = ShippingProfileRemoved(seller_id=ID, profile_id=SHIPPING_ID)
        assert seller.remove_shipping(SHIPPING_ID) == [removed]
        assert seller_after(APPLIED, SHIPPING_ADDED, removed).shipping == {}

    def test_one_that_is_not_there(self) -> None:
        seller = seller_after(APPLIED)
        with pytest.raises(ShippingProfileNotFoundError):
            seller.change_shipping(SHIPPING_ID, SHIPPING)
        with pytest.raises(ShippingProfileNotFoundError):
            seller.remove_shipping(SHIPPING_ID)

    def test_there_is_an_end_to_them(self) -> None:
        many = [
            ShippingProfileAdded(**WHO, profile_id=UUID(int=number), profile=SHIPPING)
            for number in range(MOST_SHIPPING_PROFILES)
        ]
        with pytest.raises(TooManyShippingProfilesError):
            seller_after(APPLIED, *many).add_shipping(UUID(int=999), SHIPPING)
