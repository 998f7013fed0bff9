"""Suspending people, letting them go, and forgetting them, on a log in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from application.accounts.identities import SignInWithIdentity
from application.accounts.people import SignedIn
from application.accounts.registering import NewPerson, RegisterAccount
from application.accounts.signing_in import InvalidCredentialsError, LogIn
from application.accounts.standing import (
    CancelDeletion,
    CancelDeletionByPassword,
    EraseAccount,
    ForgetFiles,
    ForgetPerson,
    GrantRole,
    OwnAccountError,
    RequestDeletion,
    RestoreAccount,
    SetRole,
    SuspendAccount,
)
from application.ports import VerifiedIdentity
from domain.accounts.account import (
    ACCOUNTS,
    Account,
    DeletionNotDueError,
    DeletionScheduledError,
    InvalidTokenError,
    NothingToRestoreError,
    NotSuspendedError,
    UserNotFoundError,
)
from domain.accounts.events import (
    AccountDeletionCancelled,
    AccountDeletionRequested,
    AccountErased,
    AccountRestored,
    AccountSuspended,
    AdminAdded,
    AdminRemoved,
    AllSessionsRevoked,
    LoginFailed,
    Profile,
    Role,
    RoleGranted,
    RoleRevoked,
)
from domain.accounts.roster import LastAdminError
from domain.accounts.sign_in import AccountLockedError
from domain.claims.events import ValueReleased
from domain.kernel import AccountId
from domain.orders.events import PostalAddress
from domain.orders.order import ORDERS
from domain.sellers.events import (
    PersonalSellerOpened,
    SellerClosed,
    SellerReinstated,
    SellerStatus,
    SellerSuspended,
    seller_of,
)
from domain.sellers.seller import SELLERS, Seller
from tests.application.shop import ADDRESS, METADATA, Shop

PASSWORD = "Secret123"


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def registered(shop: Shop, name: str = "emily", *roles: Role) -> Account:
    person = NewPerson(
        email=f"{name}@example.com",
        password=PASSWORD,
        profile=Profile(first_name=name),
        roles=frozenset(roles),
        email_verified=True,
    )
    signed_in: SignedIn = (await shop.handle(RegisterAccount(person=person))).state
    return signed_in.account


async def types_after(shop: Shop, position: int) -> list[type[Any]]:
    return [type(event) for event in await shop.events_after(position)]


async def had_before(shop: Shop, account: Account, role: Role) -> None:
    """As older programs recorded it: the role, and nothing that follows from it today."""
    granted = RoleGranted(account_id=account.id, role=role)
    await shop.store.change(ACCOUNTS, account.id, lambda _: [granted], METADATA)


async def seller(shop: Shop, account: Account) -> Seller:
    state: Seller = (await shop.store.load(SELLERS, seller_of(account.id))).present
    return state


class TestSuspending:
    async def test_signs_out_closes_the_shop_and_is_taken_back(self, shop: Shop) -> None:
        boss, emily = await registered(shop, "boss", Role.ADMIN), await registered(shop, "emily", Role.SELLER)
        head = await shop.log.head()
        suspend = SuspendAccount(account_id=emily.id, reason="fraud", by=boss.id)
        await shop.handle(suspend)
        assert await types_after(shop, head) == [AccountSuspended, AllSessionsRevoked, SellerSuspended]
        assert (await seller(shop, emily)).status is SellerStatus.SUSPENDED
        head = await shop.log.head()
        await shop.handle(suspend)
        assert await shop.log.head() == head
        await shop.handle(RestoreAccount(account_id=emily.id))
        assert await types_after(shop, head) == [AccountRestored, SellerReinstated]
        assert (await seller(shop, emily)).sells
        with pytest.raises(NotSuspendedError):
            await shop.handle(RestoreAccount(account_id=emily.id))

    async def test_an_admin_leaves_the_roster_and_comes_back_to_it(self, shop: Shop) -> None:
        boss, other = await registered(shop, "boss", Role.ADMIN), await registered(shop, "other", Role.ADMIN)
        head = await shop.log.head()
        await shop.handle(SuspendAccount(account_id=other.id, reason="", by=boss.id))
        assert AdminRemoved in await types_after(shop, head)
        head = await shop.log.head()
        await shop.handle(RestoreAccount(account_id=other.id))
        assert await types_after(shop, head) == [AccountRestored, AdminAdded]

    async def test_neither_oneself_nor_the_last_admin(self, shop: Shop) -> None:
        boss, emily = await registered(shop, "boss", Role.ADMIN), await registered(shop)
        head = await shop.log.head()
        with pytest.raises(OwnAccountError):
            await shop.handle(SuspendAccount(account_id=boss.id, reason="", by=boss.id))
        with pytest.raises(LastAdminError):
            await shop.handle(SuspendAccount(account_id=boss.id, reason="", by=emily.id))
        with pytest.raises(LastAdminError):
            await shop.handle(RequestDeletion(account_id=boss.id, password=PASSWORD))
        assert await shop.log.head() == head


class TestTheRoleOfASeller:
    async def test_taken_away_meanwhile_does_not_come_back_with_the_account(self, shop: Shop) -> None:
        boss, emily = await registered(shop, "boss", Role.ADMIN), await registered(shop, "emily", Role.SELLER)
        await shop.handle(SuspendAccount(account_id=emily.id, reason="", by=boss.id))
        await shop.handle(SetRole(account_id=emily.id, role=Role.USER, by=boss.id))
        await shop.handle(RestoreAccount(account_id=emily.id))
        assert not (await seller(shop, emily)).sells
        await shop.handle(SetRole(account_id=emily.id, role=Role.SELLER, by=boss.id))
        assert (await seller(shop, emily)).sells

    async def test_from_before_sellers_had_events_is_suspended_with_the_account(self, shop: Shop) -> None:
        boss, emily = await registered(shop, "boss", Role.ADMIN), await registered(shop)
        await had_before(shop, emily, Role.SELLER)
        head = await shop.log.head()
        await shop.handle(SuspendAccount(account_id=emily.id, reason="", by=boss.id))
        assert await types_after(shop, head) == [
            AccountSuspended,
            AllSessionsRevoked,
            PersonalSellerOpened,
            SellerSuspended,
        ]
        assert not (await seller(shop, emily)).sells
        await shop.handle(RestoreAccount(account_id=emily.id))
        assert (await seller(shop, emily)).sells


class TestAdminsFromBeforeThereWasARoster:
    async def test_look_after_each_other_and_the_last_one_stays(self, shop: Shop) -> None:
        boss, other = await registered(shop, "boss"), await registered(shop, "other")
        for account in (boss, other):
            await had_before(shop, account, Role.ADMIN)
        with pytest.raises(LastAdminError):
            await shop.handle(RequestDeletion(account_id=other.id, password=PASSWORD))
        head = await shop.log.head()
        await shop.handle(SetRole(account_id=other.id, role=Role.USER, by=boss.id))
        assert await shop.events_after(head) == [
            RoleRevoked(account_id=other.id, role=Role.ADMIN),
            AdminAdded(account_id=boss.id),
        ]
        with pytest.raises(LastAdminError):
            await shop.handle(SuspendAccount(account_id=boss.id, reason="", by=other.id))

    async def test_are_on_it_once_an_operator_says_again_that_they_are_admins(self, shop: Shop) -> None:
        boss = await registered(shop, "boss")
        await had_before(shop, boss, Role.ADMIN)
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(GrantRole(account_id=boss.id, role=Role.ADMIN))
        assert await shop.events_after(head) == [AdminAdded(account_id=boss.id)]


class TestLeaving:
    async def test_is_scheduled_with_the_right_password_only(self, shop: Shop) -> None:
        emily = await registered(shop)
        head = await shop.log.head()
        with pytest.raises(InvalidCredentialsError) as refused:
            await shop.handle(RequestDeletion(account_id=emily.id, password="wrong", reason="bored"))
        assert refused.value.details == {"password": ["Is not correct"]}
        assert await types_after(shop, head) == [LoginFailed]
        head = await shop.log.head()
        await shop.handle(RequestDeletion(account_id=emily.id, password=PASSWORD, reason="bored"))
        requested, revoked = await shop.events_after(head)
        assert isinstance(requested, AccountDeletionRequested)
        assert requested.erase_after == shop.clock.at + timedelta(days=30)
        assert isinstance(revoked, AllSessionsRevoked)
        with pytest.raises(DeletionScheduledError):
            await shop.handle(LogIn(login="emily", password=PASSWORD))

    async def test_is_taken_back_by_the_newest_link_until_the_grace_is_over(self, shop: Shop) -> None:
        emily = await registered(shop)
        for number in (1, 2):
            await shop.handle(RequestDeletion(account_id=emily.id, password=PASSWORD))
            for wrong in (number - 1, number + 1):
                with pytest.raises(InvalidTokenError):
                    await shop.handle(CancelDeletion(account_id=emily.id, number=wrong))
            head = await shop.log.head()
            await shop.handle(CancelDeletion(account_id=emily.id, number=number))
            assert await types_after(shop, head) == [AccountDeletionCancelled]
        await shop.handle(LogIn(login="emily", password=PASSWORD))
        with pytest.raises(NothingToRestoreError):
            await shop.handle(CancelDeletion(account_id=emily.id, number=2))
        await shop.handle(RequestDeletion(account_id=emily.id, password=PASSWORD))
        shop.clock.at += timedelta(days=30)
        with pytest.raises(NothingToRestoreError):
            await shop.handle(CancelDeletion(account_id=emily.id, number=3))

    async def test_is_taken_back_by_password_and_guesses_count(self, shop: Shop) -> None:
        emily = await registered(shop)
        await shop.handle(RequestDeletion(account_id=emily.id, password=PASSWORD))
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(CancelDeletionByPassword(login="emily", password="wrong"))
        back = await shop.handle(CancelDeletionByPassword(login="emily@example.com", password=PASSWORD))
        assert back.state.may_sign_in
        for _ in range(4):
            with pytest.raises(InvalidCredentialsError):
                await shop.handle(CancelDeletionByPassword(login="emily", password="wrong"))
        with pytest.raises(AccountLockedError):
            await shop.handle(CancelDeletionByPassword(login="emily", password=PASSWORD))

    async def test_an_admin_can_take_it_back(self, shop: Shop) -> None:
        emily = await registered(shop)
        await shop.handle(RequestDeletion(account_id=emily.id, password=PASSWORD))
        head = await shop.log.head()
        await shop.handle(RestoreAccount(account_id=emily.id))
        assert await types_after(shop, head) == [AccountDeletionCancelled]


class TestErasing:
    async def leaving(self, shop: Shop) -> Account:
        emily = await registered(shop, "emily", Role.SELLER)
        google = VerifiedIdentity(
            provider="google", subject="g-1", email="emily@example.com", email_verified=True
        )
        await shop.handle(SignInWithIdentity(identity=google))
        await shop.handle(RequestDeletion(account_id=emily.id, password=PASSWORD, reason="privacy"))
        return emily

    async def test_is_refused_before_its_time(self, shop: Shop) -> None:
        emily = await self.leaving(shop)
        shop.clock.at += timedelta(days=30, seconds=-1)
        head = await shop.log.head()
        with pytest.raises(DeletionNotDueError):
            await shop.handle(EraseAccount(account_id=emily.id))
        other = await registered(shop, "other")
        with pytest.raises(DeletionNotDueError):
            await shop.handle(EraseAccount(account_id=other.id))
        with pytest.raises(UserNotFoundError):
            await shop.handle(EraseAccount(account_id=AccountId(shop.keys.claim_id("no", "body"))))
        assert AccountErased not in await types_after(shop, head)

    async def test_is_one_append_and_frees_everything_that_was_theirs(self, shop: Shop) -> None:
        emily = await self.leaving(shop)
        shop.clock.at += timedelta(days=30)
        head = await shop.log.head()
        await shop.handle(EraseAccount(account_id=emily.id))
        assert await types_after(shop, head) == [AccountErased, SellerClosed, *[ValueReleased] * 3]
        with pytest.raises(UserNotFoundError):
            await shop.handle(EraseAccount(account_id=emily.id))
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(LogIn(login="emily", password=PASSWORD))
        again = await registered(shop, "emily")
        assert (again.username, again.id == emily.id) == ("emily", False)

    async def test_then_nothing_can_be_read_and_everything_can_be_replayed(self, shop: Shop) -> None:
        emily = await self.leaving(shop)
        await shop.objects.put(f"avatars/{emily.id}/a.webp", b"picture", content_type="image/webp")
        await shop.objects.put("avatars/somebody/a.webp", b"picture", content_type="image/webp")
        shop.clock.at += timedelta(days=30)
        await shop.handle(EraseAccount(account_id=emily.id))
        for _ in range(2):
            await shop.handle(ForgetPerson(account_id=emily.id))
            await shop.handle(ForgetFiles(account_id=emily.id))
        assert list(shop.objects.files) == ["avatars/somebody/a.webp"]
        events = await shop.events_after(0)
        assert "emily" not in repr(events).lower()
        assert "privacy" not in repr(events).replace("Privacy", "").replace("privacy=", "")
        replayed = (await shop.another_store().load(ACCOUNTS, emily.id)).present
        assert (replayed.erased, replayed.email, replayed.number) == (True, "", 1)


async def test_what_was_in_mind_of_the_orders_of_whoever_is_forgotten_goes(shop: Shop) -> None:
    listing = await shop.listing()
    jane, joe = await shop.buyer("jane"), await shop.buyer("joe")
    orders = [await shop.order(buyer, (listing, 1)) for buyer in (jane, joe)]
    assert (await shop.now(ORDERS, orders[0].id)).shipping_address == ADDRESS
    await shop.handle(ForgetPerson(account_id=jane.account_id))
    shop.store.forget(jane.account_id)
    of_jane, of_joe = [await shop.now(ORDERS, order.id) for order in orders]
    assert (of_jane.shipping_address, of_joe.shipping_address) == (PostalAddress(), ADDRESS)
    assert of_jane.total == orders[0].total
