"""Becoming a seller, selling, and being followed, on a log in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from application.accounts.standing import EraseAccount, RequestDeletion
from application.adapters.appending import History, Wanted
from application.carts.filling import AddToCart, ChangeCartItem
from application.follows.following import FollowSeller, ForgetFollows, UnfollowSeller
from application.listings.creating import CreateListing
from application.listings.publishing import PublishListing
from application.orders.placing import PlaceOrder
from application.ports import Changed, Metadata
from application.sellers.applying import ApplyToSell, apply_to_sell
from application.sellers.judging import (
    ReinstateSeller,
    RejectSeller,
    SuspendSeller,
    VerifySeller,
    suspend_seller,
)
from application.sellers.keeping import (
    AddShippingProfile,
    ChangeSellerProfile,
    ChangeShippingProfile,
    RemoveShippingProfile,
)
from application.sellers.naming import seller_called
from application.sellers.opening import OpenHouseSeller
from domain.accounts.account import ACCOUNTS, GRACE, AccountSuspendedError, UserNotFoundError
from domain.accounts.events import Caller, Role, RoleGranted, RoleRevoked
from domain.categories.category import SlugExistsError
from domain.claims.events import ValueClaimed, ValueReleased
from domain.follows.events import SellerFollowed, SellerUnfollowed
from domain.follows.follow import FollowingOneselfError
from domain.kernel import InvalidInputError, SellerId, stream_id
from domain.listings.listing import Listing, ProductNotFoundError
from domain.money import Money
from domain.placing import WantedLine
from domain.sellers.events import (
    HOUSE_SELLER,
    HouseSellerOpened,
    SellerApplied,
    SellerReinstated,
    SellerRejected,
    SellerStatus,
    SellerSuspended,
    SellerVerified,
    ShippingProfile,
    ShopProfile,
    seller_of,
)
from domain.sellers.seller import (
    HouseSellerError,
    Seller,
    SellerAlreadyAppliedError,
    SellerNotFoundError,
    SellerRequiredError,
    ShippingProfileNotFoundError,
)
from tests.application.shop import ADDRESS, METADATA, Shop

NOBODY = SellerId(stream_id("seller", "nobody"))


@pytest.fixture
def shop() -> Shop:
    return Shop()


def application(caller: Caller, *, agreed_to_terms: bool = True, **profile: Any) -> ApplyToSell:
    fields: dict[str, Any] = {"shop_name": "Vintage Vault", **profile}
    return ApplyToSell(caller=caller, profile=ShopProfile(**fields), agreed_to_terms=agreed_to_terms)


async def a_seller(shop: Shop, name: str = "jane") -> Caller:
    """Somebody who was verified."""
    caller = await shop.buyer(name)
    await shop.handle(application(caller, shop_name=f"Shop of {name}"))
    await shop.handle(VerifySeller(seller_id=seller_of(caller.account_id)))
    return caller


def offer(seller_id: SellerId, *, publish: bool = True, title: str = "Old lamp") -> CreateListing:
    return CreateListing(
        seller_id=seller_id,
        title=title,
        description="Worth having.",
        price=Money(1000),
        discount_percentage=Decimal(0),
        category="things",
        stock=10,
        images=("https://example.com/1.webp",),
        publish=publish,
    )


async def a_listing_of(shop: Shop, caller: Caller) -> Listing:
    await shop.listing()
    listing: Listing = (await shop.handle(offer(seller_of(caller.account_id)))).state
    return listing


async def roles(shop: Shop, caller: Caller) -> set[Role]:
    return set((await shop.now(ACCOUNTS, caller.account_id)).roles)


async def refused(shop: Shop, command: object, error: type[Exception]) -> Exception:
    """The command is refused, and nothing is recorded."""
    head = await shop.log.head()
    with pytest.raises(error) as why:
        await shop.handle(command)
    assert await shop.log.head() == head
    return why.value


class TestApplying:
    async def test_it_waits_with_a_slug_of_its_own(self, shop: Shop) -> None:
        caller = await shop.buyer()
        head = await shop.log.head()
        changed: Changed[Seller] = await shop.handle(application(caller))
        assert changed.state.status is SellerStatus.PENDING
        assert changed.state.profile.slug == "vintage-vault"
        events = await shop.events_after(head)
        assert [type(event) for event in events] == [SellerApplied, ValueClaimed]
        assert await roles(shop, caller) == {Role.USER}

    async def test_of_two_shops_of_one_name_each_has_a_slug(self, shop: Shop) -> None:
        slugs = [
            (await shop.handle(application(await shop.buyer(name)))).state.profile.slug
            for name in ("ann", "bea")
        ]
        assert slugs == ["vintage-vault", "vintage-vault-2"]

    async def test_no_slug_can_be_taken_away_beforehand(self, shop: Shop) -> None:
        caller = await shop.buyer("ann")
        for name in ("bea", "cleo"):
            other = await shop.buyer(name)
            await shop.handle(
                application(other, slug={"bea": "vintage-vault", "cleo": "vintage-vault-1"}[name])
            )
        changed = await shop.handle(application(caller))
        assert changed.state.profile.slug == f"vintage-vault-{seller_of(caller.account_id).hex[:12]}"

    async def test_a_slug_that_is_wished_and_taken(self, shop: Shop) -> None:
        await shop.handle(application(await shop.buyer("ann")))
        error = await refused(
            shop, application(await shop.buyer("bea"), slug="vintage-vault"), SlugExistsError
        )
        assert isinstance(error, SlugExistsError)
        assert error.details == {"slug": ["Is already taken"]}

    async def test_twice(self, shop: Shop) -> None:
        caller = await shop.buyer()
        await shop.handle(application(caller))
        await refused(shop, application(caller, shop_name="Another"), SellerAlreadyAppliedError)

    async def test_without_agreeing_to_the_terms(self, shop: Shop) -> None:
        error = await refused(shop, application(await shop.buyer(), agreed_to_terms=False), InvalidInputError)
        assert isinstance(error, InvalidInputError)
        assert set(error.details) == {"agreedToTerms"}

    async def test_nobody_applies_whose_account_ended_while_they_did(self, shop: Shop) -> None:
        ann, bea = await shop.buyer("ann"), await shop.buyer("bea")
        await shop.suspend(bea.account_id)
        await refused(shop, application(bea), AccountSuspendedError)
        await shop.handle(RequestDeletion(account_id=ann.account_id, password="Secret123"))
        shop.clock.at += GRACE
        await shop.handle(EraseAccount(account_id=ann.account_id))
        await refused(shop, application(ann), UserNotFoundError)

    async def test_admins_sell_for_the_house(self, shop: Shop) -> None:
        caller = await shop.buyer()
        admin = Caller(account_id=caller.account_id, number=caller.number, roles=frozenset({Role.ADMIN}))
        await refused(shop, application(admin), SellerAlreadyAppliedError)

    async def test_who_was_rejected_applies_under_another_name_and_lets_go_of_the_old_one(
        self, shop: Shop
    ) -> None:
        ann, bea = await shop.buyer("ann"), await shop.buyer("bea")
        await shop.handle(application(ann))
        await shop.handle(RejectSeller(seller_id=seller_of(ann.account_id), reason="not your name"))
        head = await shop.log.head()
        again = (await shop.handle(application(ann, shop_name="Old Things"))).state
        assert (again.status, again.profile.slug) == (SellerStatus.PENDING, "old-things")
        kinds = [type(event) for event in await shop.events_after(head)]
        assert kinds == [SellerApplied, ValueClaimed, ValueReleased]
        assert (await shop.handle(application(bea))).state.profile.slug == "vintage-vault"

    async def test_of_applications_at_the_same_time_one_counts(self, shop: Shop) -> None:
        caller = await shop.buyer()
        tries = [shop.handle(application(caller, shop_name=f"Shop {n}")) for n in range(10)]
        outcomes = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(isinstance(outcome, Changed) for outcome in outcomes) == 1
        assert sum(isinstance(outcome, SellerAlreadyAppliedError) for outcome in outcomes) == 9

    async def test_where_everybody_is_approved(self, shop: Shop) -> None:
        caller = await shop.buyer()
        head = await shop.log.head()
        changed = await apply_to_sell(
            application(caller),
            METADATA,
            store=shop.store,
            keys=shop.keys,
            clock=shop.clock,
            auto_approve=True,
        )
        assert changed.state.sells
        kinds = [type(event) for event in await shop.events_after(head)]
        assert kinds == [SellerApplied, SellerVerified, ValueClaimed, RoleGranted]
        assert await roles(shop, caller) == {Role.USER, Role.SELLER}

    async def test_the_log_holds_no_word_of_the_person(self, shop: Shop) -> None:
        caller = await shop.buyer()
        await shop.handle(application(caller, bio="Grandmother's attic", monthly_revenue="$1000-$5000"))
        await shop.handle(RejectSeller(seller_id=seller_of(caller.account_id), reason="Jane is a fraud"))
        stored = b"".join(event.state for event in await shop.log.read(0, 1000))
        for secret in (b"Vintage", b"vintage", b"attic", b"$1000", b"fraud"):
            assert secret not in stored


class TestJudging:
    async def test_the_role_comes_and_goes_in_the_same_append(self, shop: Shop) -> None:
        caller = await shop.buyer()
        seller_id = seller_of(caller.account_id)
        await shop.handle(application(caller))
        for command, kinds, has in (
            (VerifySeller(seller_id=seller_id), [SellerVerified, RoleGranted], True),
            (SuspendSeller(seller_id=seller_id, reason="fakes"), [SellerSuspended, RoleRevoked], False),
            (ReinstateSeller(seller_id=seller_id), [SellerReinstated, RoleGranted], True),
        ):
            head = await shop.log.head()
            await shop.handle(command)
            assert [type(event) for event in await shop.events_after(head)] == kinds
            assert (Role.SELLER in await roles(shop, caller)) is has
            again = await shop.handle(command)
            assert (again.position, await shop.log.head()) == (0, head + 2)

    async def test_who_is_rejected_gets_no_role(self, shop: Shop) -> None:
        caller = await shop.buyer()
        await shop.handle(application(caller))
        head = await shop.log.head()
        await shop.handle(RejectSeller(seller_id=seller_of(caller.account_id), reason="no"))
        assert [type(event) for event in await shop.events_after(head)] == [SellerRejected]

    async def test_the_house_and_nobody(self, shop: Shop) -> None:
        await shop.handle(OpenHouseSeller())
        await refused(shop, SuspendSeller(seller_id=HOUSE_SELLER, reason="no"), HouseSellerError)
        await refused(shop, VerifySeller(seller_id=NOBODY), SellerNotFoundError)


class TestTheHouse:
    async def test_it_is_opened_once(self, shop: Shop) -> None:
        head = await shop.log.head()
        opened = [await shop.handle(OpenHouseSeller()) for _ in range(3)]
        assert [type(event) for event in await shop.events_after(head)] == [HouseSellerOpened, ValueClaimed]
        assert {each.state.profile.slug for each in opened} == {"house"}


class TestSelling:
    async def test_nobody_offers_anything_before_being_verified(self, shop: Shop) -> None:
        caller = await shop.buyer()
        await shop.listing()
        await shop.handle(application(caller))
        await refused(shop, offer(seller_of(caller.account_id), publish=False), SellerRequiredError)
        await shop.handle(VerifySeller(seller_id=seller_of(caller.account_id)))
        assert (await shop.handle(offer(seller_of(caller.account_id)))).state.status == "active"

    async def test_who_is_suspended_neither_offers_nor_publishes(self, shop: Shop) -> None:
        caller = await a_seller(shop)
        seller_id = seller_of(caller.account_id)
        await shop.listing()
        draft: Listing = (await shop.handle(offer(seller_id, publish=False))).state
        await shop.handle(SuspendSeller(seller_id=seller_id, reason="fakes"))
        await refused(shop, offer(seller_id, title="Another"), SellerRequiredError)
        await refused(shop, PublishListing(listing_id=draft.id, caller=caller), SellerRequiredError)
        await shop.handle(ReinstateSeller(seller_id=seller_id))
        assert (
            await shop.handle(PublishListing(listing_id=draft.id, caller=caller))
        ).state.status == "active"

    async def test_of_people_with_the_role_and_no_events_of_a_seller_the_role_has_decided(
        self, shop: Shop
    ) -> None:
        caller = await shop.buyer()
        await shop.listing()
        assert (await shop.handle(offer(seller_of(caller.account_id)))).state.status == "active"


class TestBuying:
    async def test_nothing_is_bought_of_a_suspended_seller(self, shop: Shop) -> None:
        caller, buyer = await a_seller(shop), await shop.buyer("buyer")
        listing = await a_listing_of(shop, caller)
        seller_id = seller_of(caller.account_id)
        add = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1)
        more = ChangeCartItem(account_id=buyer.account_id, listing_id=listing.id, quantity=5)
        wanted = (WantedLine(listing_id=listing.id, quantity=1),)
        of_cart = PlaceOrder(caller=buyer, lines=(), shipping_address=ADDRESS)
        await shop.handle(add)
        await shop.handle(SuspendSeller(seller_id=seller_id, reason="fakes"))
        for command in (
            add,
            more,
            of_cart,
            PlaceOrder(caller=buyer, lines=wanted, shipping_address=ADDRESS),
        ):
            await refused(shop, command, ProductNotFoundError)
        await shop.handle(ReinstateSeller(seller_id=seller_id))
        assert (await shop.order(buyer)).number

    async def test_a_suspension_that_this_process_has_not_heard_of_counts(self, shop: Shop) -> None:
        caller, buyer = await a_seller(shop), await shop.buyer("buyer")
        listing = await a_listing_of(shop, caller)
        await shop.order(buyer, (listing, 1))
        elsewhere = SuspendSeller(seller_id=seller_of(caller.account_id), reason="fakes")
        await suspend_seller(elsewhere, METADATA, store=shop.another_store())
        head = await shop.log.head()
        with pytest.raises(ProductNotFoundError):
            await shop.order(buyer, (listing, 1))
        assert await shop.log.head() == head

    async def test_who_asks_about_the_seller_asks_the_log_no_more_often(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        caller, buyer = await a_seller(shop), await shop.buyer("buyer")
        listing = await a_listing_of(shop, caller)
        add = AddToCart(account_id=buyer.account_id, listing_id=listing.id, quantity=1)
        await shop.handle(add)
        await shop.order(buyer)
        asked: list[int] = []
        histories = shop.log.histories

        async def counted(wanted: Sequence[Wanted]) -> list[History]:
            asked.append(len(wanted))
            return await histories(wanted)

        monkeypatch.setattr(shop.log, "histories", counted)
        await shop.handle(add)
        await shop.order(buyer)
        await shop.order(buyer, (listing, 1))
        assert asked == []


class TestKeepingAShop:
    async def test_a_new_slug_frees_the_old_one(self, shop: Shop) -> None:
        caller = await a_seller(shop)
        seller_id = seller_of(caller.account_id)
        head = await shop.log.head()
        changed = await shop.handle(
            ChangeSellerProfile(seller_id=seller_id, slug="attic", bio="Old.", logo="https://example.com/l")
        )
        assert (changed.state.profile.slug, changed.state.logo) == ("attic", "https://example.com/l")
        kinds = [type(event).__name__ for event in await shop.events_after(head)]
        assert kinds == ["SellerProfileUpdated", "SellerLogoChanged", "ValueClaimed", "ValueReleased"]
        for reference in ("attic", str(seller_id), str(caller.account_id), str(caller.number)):
            assert await seller_called(reference, shop.store, shop.keys) == seller_id
        with pytest.raises(SellerNotFoundError):
            await seller_called("shop-of-jane", shop.store, shop.keys)

    async def test_a_slug_of_somebody_else(self, shop: Shop) -> None:
        await a_seller(shop, "ann")
        bea = await a_seller(shop, "bea")
        change = ChangeSellerProfile(seller_id=seller_of(bea.account_id), slug="shop-of-ann")
        await refused(shop, change, SlugExistsError)

    async def test_the_same_again_changes_nothing(self, shop: Shop) -> None:
        caller = await a_seller(shop)
        change = ChangeSellerProfile(seller_id=seller_of(caller.account_id), slug="attic", bio="Old.")
        await shop.handle(change)
        head = await shop.log.head()
        await shop.handle(change)
        assert await shop.log.head() == head

    async def test_shipping_profiles_come_change_and_go(self, shop: Shop) -> None:
        seller_id = seller_of((await a_seller(shop)).account_id)
        profile = ShippingProfile(name="Standard", base_cost=Money(500), countries=("US",))
        added = (await shop.handle(AddShippingProfile(seller_id=seller_id, profile=profile))).state
        change = ChangeShippingProfile(seller_id=seller_id, profile_id=added.id, base_cost=Money(600))
        changed = (await shop.handle(change)).state
        assert changed.profile == ShippingProfile(name="Standard", base_cost=Money(600), countries=("US",))
        remove = RemoveShippingProfile(seller_id=seller_id, profile_id=added.id)
        assert (await shop.handle(remove)).state.profile is None
        await refused(shop, remove, ShippingProfileNotFoundError)
        await refused(shop, change, ShippingProfileNotFoundError)

    async def test_somebody_who_never_applied_has_none(self, shop: Shop) -> None:
        caller = await shop.buyer()
        change = ChangeSellerProfile(seller_id=seller_of(caller.account_id), bio="Old.")
        await refused(shop, change, SellerNotFoundError)


class TestFollowing:
    async def test_twenty_times_at_once_is_once(self, shop: Shop) -> None:
        seller, fan = await a_seller(shop), await shop.buyer("fan")
        seller_id = seller_of(seller.account_id)
        head = await shop.log.head()
        follow = FollowSeller(account_id=fan.account_id, seller_id=seller_id)
        await asyncio.gather(*(shop.handle(follow) for _ in range(20)))
        followed = SellerFollowed(
            account_id=fan.account_id, seller_id=seller_id, followed_at=shop.clock.now()
        )
        assert await shop.events_after(head) == [followed]
        unfollow = UnfollowSeller(account_id=fan.account_id, seller_id=seller_id)
        await asyncio.gather(*(shop.handle(unfollow) for _ in range(20)))
        unfollowed = SellerUnfollowed(account_id=fan.account_id, seller_id=seller_id)
        assert await shop.events_after(head) == [followed, unfollowed]

    async def test_only_a_verified_seller_and_never_oneself(self, shop: Shop) -> None:
        seller, fan, applicant = (
            await a_seller(shop),
            await shop.buyer("fan"),
            await shop.buyer("applicant"),
        )
        await shop.handle(application(applicant))
        suspended = await a_seller(shop, "suspended")
        await shop.handle(SuspendSeller(seller_id=seller_of(suspended.account_id), reason="fakes"))
        for who in (NOBODY, seller_of(applicant.account_id), seller_of(suspended.account_id)):
            follow = FollowSeller(account_id=fan.account_id, seller_id=who)
            await refused(shop, follow, SellerNotFoundError)
        oneself = FollowSeller(account_id=seller.account_id, seller_id=seller_of(seller.account_id))
        await refused(shop, oneself, FollowingOneselfError)

    async def test_a_suspended_seller_can_be_let_go_of(self, shop: Shop) -> None:
        seller, fan = await a_seller(shop), await shop.buyer("fan")
        seller_id = seller_of(seller.account_id)
        await shop.handle(FollowSeller(account_id=fan.account_id, seller_id=seller_id))
        await shop.handle(SuspendSeller(seller_id=seller_id, reason="fakes"))
        head = await shop.log.head()
        await shop.handle(UnfollowSeller(account_id=fan.account_id, seller_id=seller_id))
        assert await shop.log.head() == head + 1
        unknown = UnfollowSeller(account_id=fan.account_id, seller_id=NOBODY)
        await refused(shop, unknown, SellerNotFoundError)

    async def test_who_is_forgotten_follows_nobody(self, shop: Shop) -> None:
        fan = await shop.buyer("fan")
        sellers = [seller_of((await a_seller(shop, name)).account_id) for name in ("ann", "bea")]
        for seller_id in sellers:
            await shop.handle(FollowSeller(account_id=fan.account_id, seller_id=seller_id))
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(ForgetFollows(account_id=fan.account_id), Metadata(actor="worker"))
        assert set(await shop.events_after(head)) == {
            SellerUnfollowed(account_id=fan.account_id, seller_id=seller_id) for seller_id in sellers
        }
        assert await shop.log.head() == head + 2
