"""Changing what one says of oneself, and proving it, on a log in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from application.accounts.addresses import AddAddress, RemoveAddress, UpdateAddress
from application.accounts.identities import SignInWithIdentity
from application.accounts.passwords import ChangePassword, RequestPasswordReset, ResetPassword
from application.accounts.people import SignedIn
from application.accounts.profile import NewPassword, UpdateAccount, UpdatePreferences, UpdatePrivacy
from application.accounts.registering import NewPerson, RegisterAccount
from application.accounts.signing_in import InvalidCredentialsError, LogIn, RefreshSession
from application.accounts.verifying import RequestEmailVerification, VerifyEmail
from application.errors import AuthenticationError
from application.ports import VerifiedIdentity
from domain.accounts.account import (
    MOST_ADDRESSES,
    Account,
    AddressBookFullError,
    AddressNotFoundError,
    EmailAlreadyVerifiedError,
    EmailExistsError,
    InvalidTokenError,
    UsernameExistsError,
)
from domain.accounts.events import (
    AccountUnlocked,
    AddressAdded,
    AddressRemoved,
    AddressUpdated,
    AllSessionsRevoked,
    AvatarChanged,
    DefaultAddressSet,
    EmailChanged,
    EmailVerificationRequested,
    EmailVerified,
    IdentityLinked,
    LoginFailed,
    PasswordChanged,
    PasswordReset,
    PasswordResetRequested,
    PasswordResetUsed,
    PostalDetails,
    PreferencesUpdated,
    PrivacyUpdated,
    Profile,
    ProfileUpdated,
    SessionStarted,
    UsernameChanged,
)
from domain.accounts.sign_in import AccountLockedError
from domain.claims.events import ValueClaimed, ValueReleased
from domain.kernel import InvalidInputError
from tests.application.shop import Shop

PASSWORD = "Secret123"
HOME = PostalDetails(address="123 Main St", city="New York", zip_code="10001", country="USA")


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def emily(shop: Shop) -> SignedIn:
    return await registered(shop, "emily")


async def registered(shop: Shop, name: str, *, verified: bool = False) -> SignedIn:
    person = NewPerson(
        email=f"{name}@example.com",
        password=PASSWORD,
        profile=Profile(first_name="Emily", last_name="Johnson", age=28),
        email_verified=verified,
    )
    signed_in: SignedIn = (await shop.handle(RegisterAccount(person=person))).state
    return signed_in


async def types_after(shop: Shop, position: int) -> list[type[Any]]:
    return [type(event) for event in await shop.events_after(position)]


class TestUpdating:
    async def test_changes_what_is_given_and_says_what_that_was(self, shop: Shop, emily: SignedIn) -> None:
        head = await shop.log.head()
        changes = {"first_name": "Emma", "last_name": "Johnson", "age": None}
        update = UpdateAccount(account_id=emily.account.id, profile=changes)
        changed = await shop.handle(update)
        assert changed.state.profile == Profile(first_name="Emma", last_name="Johnson")
        (updated,) = await shop.events_after(head)
        assert isinstance(updated, ProfileUpdated)
        assert updated.changed == ("first_name", "age")
        head = await shop.log.head()
        await shop.handle(update)
        assert await shop.log.head() == head

    async def test_all_at_once(self, shop: Shop, emily: SignedIn) -> None:
        head = await shop.log.head()
        update = UpdateAccount(
            account_id=emily.account.id,
            profile={"bio": "Hello"},
            image="https://example.com/e.png",
            username="emma",
            email="emma@example.com",
            password=NewPassword(current=PASSWORD, password="Another1", session_id=emily.session.id),
        )
        account: Account = (await shop.handle(update)).state
        assert (account.username, account.email, account.email_verified) == (
            "emma",
            "emma@example.com",
            False,
        )
        assert await types_after(shop, head) == [
            ProfileUpdated,
            AvatarChanged,
            UsernameChanged,
            EmailChanged,
            EmailVerificationRequested,
            PasswordChanged,
            AllSessionsRevoked,
            *[ValueReleased, ValueClaimed] * 2,
        ]
        await shop.handle(LogIn(login="emma@example.com", password="Another1"))
        again = await registered(shop, "emily")
        assert again.account.username == "emily"

    async def test_nothing_of_it_if_a_part_is_refused(self, shop: Shop, emily: SignedIn) -> None:
        await registered(shop, "other")
        head = await shop.log.head()
        account_id = emily.account.id
        with pytest.raises(EmailExistsError):
            await shop.handle(
                UpdateAccount(account_id=account_id, profile={"bio": "x"}, email="OTHER@example.com")
            )
        with pytest.raises(UsernameExistsError):
            await shop.handle(UpdateAccount(account_id=account_id, username="Other", email="new@example.com"))
        assert await shop.log.head() == head
        wrong = NewPassword(current="wrong", password="Another1", session_id=emily.session.id)
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(UpdateAccount(account_id=account_id, profile={"bio": "x"}, password=wrong))
        assert await types_after(shop, head) == [LoginFailed]

    async def test_another_case_of_ones_own_address_is_no_conflict(self, shop: Shop, emily: SignedIn) -> None:
        changed = await shop.handle(UpdateAccount(account_id=emily.account.id, email="Emily@Example.com"))
        assert changed.state.email == "Emily@Example.com"

    async def test_preferences_and_privacy(self, shop: Shop, emily: SignedIn) -> None:
        head = await shop.log.head()
        for _ in range(2):
            await shop.handle(UpdatePreferences(account_id=emily.account.id, changes={"theme": "dark"}))
            await shop.handle(UpdatePrivacy(account_id=emily.account.id, changes={"show_email": True}))
        assert await types_after(shop, head) == [PreferencesUpdated, PrivacyUpdated]


class TestVerifying:
    async def test_the_newest_link_is_good_for_a_day_and_may_be_clicked_twice(
        self, shop: Shop, emily: SignedIn
    ) -> None:
        account_id = emily.account.id
        await shop.handle(RequestEmailVerification(account_id=account_id))
        head = await shop.log.head()
        for number in (0, 1, 3):
            with pytest.raises(InvalidTokenError):
                await shop.handle(VerifyEmail(account_id=account_id, number=number))
        shop.clock.at += timedelta(hours=24)
        with pytest.raises(InvalidTokenError):
            await shop.handle(VerifyEmail(account_id=account_id, number=2))
        assert await shop.log.head() == head
        shop.clock.at -= timedelta(seconds=1)
        for _ in range(2):
            await shop.handle(VerifyEmail(account_id=account_id, number=2))
        assert await types_after(shop, head) == [EmailVerified]
        with pytest.raises(EmailAlreadyVerifiedError):
            await shop.handle(RequestEmailVerification(account_id=account_id))

    async def test_a_link_to_the_old_address_proves_nothing_of_the_new_one(
        self, shop: Shop, emily: SignedIn
    ) -> None:
        await shop.handle(UpdateAccount(account_id=emily.account.id, email="new@example.com"))
        with pytest.raises(InvalidTokenError):
            await shop.handle(VerifyEmail(account_id=emily.account.id, number=1))


class TestPasswords:
    async def test_changing_ends_all_other_sessions(self, shop: Shop, emily: SignedIn) -> None:
        other = (await shop.handle(LogIn(login="emily", password=PASSWORD))).state.session
        change = ChangePassword(
            account_id=emily.account.id,
            session_id=emily.session.id,
            current_password=PASSWORD,
            new_password="Another1",
        )
        await shop.handle(change)
        await shop.handle(RefreshSession(session_id=emily.session.id, generation=1))
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=other.id, generation=1))
        head = await shop.log.head()
        with pytest.raises(InvalidCredentialsError) as refused:
            await shop.handle(change)
        assert refused.value.details == {"currentPassword": ["Is not correct"]}
        assert await types_after(shop, head) == [LoginFailed]

    async def test_guessing_the_current_one_locks_like_guessing_at_the_door(
        self, shop: Shop, emily: SignedIn
    ) -> None:
        def change(current: str) -> ChangePassword:
            return ChangePassword(
                account_id=emily.account.id,
                session_id=emily.session.id,
                current_password=current,
                new_password="Another1",
            )

        for _ in range(5):
            with pytest.raises(InvalidCredentialsError):
                await shop.handle(change("wrong"))
        for locked in (change(PASSWORD), LogIn(login="emily", password=PASSWORD)):
            with pytest.raises(AccountLockedError):
                await shop.handle(locked)

    @pytest.mark.parametrize("email", ["emily@example.com", "nobody@example.com"])
    async def test_asking_for_a_link_is_the_same_for_everybody(
        self, shop: Shop, emily: SignedIn, email: str
    ) -> None:
        head = await shop.log.head()
        await shop.handle(RequestPasswordReset(email=email))
        (requested,) = await shop.events_after(head)
        assert isinstance(requested, PasswordResetRequested)
        assert requested.account_id == (emily.account.id if "emily" in email else None)

    async def test_a_link_resets_once_within_an_hour_and_unlocks(self, shop: Shop, emily: SignedIn) -> None:
        account_id = emily.account.id
        for _ in range(5):
            with pytest.raises(InvalidCredentialsError):
                await shop.handle(LogIn(login="emily", password="wrong"))
        for _ in range(2):
            await shop.handle(RequestPasswordReset(email="emily@example.com"))
        head = await shop.log.head()

        def reset(number: int) -> ResetPassword:
            return ResetPassword(account_id=account_id, number=number, new_password="Another1")

        for number in (0, 1, 3):
            with pytest.raises(InvalidTokenError):
                await shop.handle(reset(number))
        shop.clock.at += timedelta(hours=1)
        with pytest.raises(InvalidTokenError):
            await shop.handle(reset(2))
        assert await shop.log.head() == head
        shop.clock.at -= timedelta(seconds=1)
        await shop.handle(reset(2))
        assert await types_after(shop, head) == [
            PasswordReset,
            EmailVerified,
            AllSessionsRevoked,
            PasswordResetUsed,
            AccountUnlocked,
        ]
        with pytest.raises(InvalidTokenError):
            await shop.handle(reset(2))
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=emily.session.id, generation=1))
        await shop.handle(LogIn(login="emily", password="Another1"))


class TestAddresses:
    async def test_the_first_is_the_default_until_another_one_is(self, shop: Shop, emily: SignedIn) -> None:
        account_id = emily.account.id
        head = await shop.log.head()
        await shop.handle(AddAddress(account_id=account_id, details=HOME))
        await shop.handle(AddAddress(account_id=account_id, details=HOME))
        assert await types_after(shop, head) == [AddressAdded, DefaultAddressSet, AddressAdded]
        account = (await shop.handle(AddAddress(account_id=account_id, details=HOME, default=True))).state
        assert (account.default_address, [a.number for a in account.addresses]) == (3, [1, 2, 3])
        account = (await shop.handle(RemoveAddress(account_id=account_id, number=3))).state
        assert account.default_address == 1
        account = (
            await shop.handle(UpdateAddress(account_id=account_id, number=1, changes={}, default=False))
        ).state
        assert account.default_address == 2
        for number in (1, 2):
            account = (await shop.handle(RemoveAddress(account_id=account_id, number=number))).state
        assert (account.default_address, account.addresses) == (None, ())

    async def test_changes_what_is_given(self, shop: Shop, emily: SignedIn) -> None:
        account_id = emily.account.id
        await shop.handle(AddAddress(account_id=account_id, details=HOME))
        head = await shop.log.head()
        update = UpdateAddress(account_id=account_id, number=1, changes={"city": "Boston"})
        for _ in range(2):
            await shop.handle(update)
        assert await types_after(shop, head) == [AddressUpdated]
        account = (await shop.handle(update)).state
        assert account.address(1).details.city == "Boston"
        assert account.address(1).details.address == HOME.address

    async def test_nobody_reaches_the_addresses_of_another(self, shop: Shop, emily: SignedIn) -> None:
        other = await registered(shop, "other")
        await shop.handle(AddAddress(account_id=emily.account.id, details=HOME))
        head = await shop.log.head()
        with pytest.raises(AddressNotFoundError):
            await shop.handle(RemoveAddress(account_id=other.account.id, number=1))
        with pytest.raises(AddressNotFoundError):
            await shop.handle(UpdateAddress(account_id=other.account.id, number=1, changes={"city": "x"}))
        assert await shop.log.head() == head

    async def test_a_book_has_its_last_page(self, shop: Shop, emily: SignedIn) -> None:
        add = AddAddress(account_id=emily.account.id, details=HOME)
        for _ in range(MOST_ADDRESSES):
            await shop.handle(add)
        with pytest.raises(AddressBookFullError):
            await shop.handle(add)
        head = await shop.log.head()
        await shop.handle(RemoveAddress(account_id=emily.account.id, number=1))
        assert AddressRemoved in await types_after(shop, head)


def google(subject: str = "g-1", email: str = "emily@example.com", **fields: Any) -> SignInWithIdentity:
    given = {"email_verified": True, "first_name": "Emily", "last_name": "Johnson", **fields}
    return SignInWithIdentity(
        identity=VerifiedIdentity(provider="google", subject=subject, email=email, **given)
    )


class TestIdentities:
    async def test_somebody_new_gets_an_account_and_is_known_ever_after(self, shop: Shop) -> None:
        first = (await shop.handle(google())).state
        assert (first.account.email_verified, first.account.password_hash) == (True, "")
        assert first.account.profile == Profile(first_name="Emily", last_name="Johnson")
        head = await shop.log.head()
        again = (await shop.handle(google(email="changed@example.com"))).state
        assert again.account.id == first.account.id
        assert await types_after(shop, head) == [SessionStarted]
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(LogIn(login="emily@example.com", password=""))

    async def test_is_linked_where_both_sides_saw_the_address_proved(self, shop: Shop) -> None:
        emily = await registered(shop, "emily", verified=True)
        head = await shop.log.head()
        linked = (await shop.handle(google())).state
        assert linked.account.id == emily.account.id
        assert IdentityLinked in await types_after(shop, head)

    @pytest.mark.parametrize(("here", "there"), [(False, True), (True, False), (False, False)])
    async def test_is_not_linked_otherwise(self, shop: Shop, here: bool, there: bool) -> None:
        await registered(shop, "emily", verified=here)
        head = await shop.log.head()
        with pytest.raises(EmailExistsError):
            await shop.handle(google(email_verified=there))
        assert await shop.log.head() == head

    async def test_an_address_that_is_not_proved_there_is_to_be_proved_here(self, shop: Shop) -> None:
        signed_in = (await shop.handle(google(email_verified=False))).state
        assert not signed_in.account.email_verified
        assert EmailVerificationRequested in await types_after(shop, 0)

    async def test_nobody_without_an_address(self, shop: Shop) -> None:
        with pytest.raises(InvalidInputError):
            await shop.handle(google(email=""))
        assert await shop.log.head() == 0
