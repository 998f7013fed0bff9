"""Signing up and in, on a log in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from application.accounts.people import Origin
from application.accounts.registering import CreateAccount, NewPerson, RegisterAccount
from application.accounts.signing_in import (
    InvalidCredentialsError,
    LogIn,
    LogOut,
    RefreshSession,
    RevokeOtherSessions,
    RevokeSession,
)
from application.accounts.standing import GrantRole, OwnRoleError, SetRole
from application.errors import AuthenticationError
from domain.accounts.account import AccountSuspendedError, EmailExistsError, UsernameExistsError
from domain.accounts.events import (
    AccountLocked,
    AccountRegistered,
    AdminAdded,
    AllSessionsRevoked,
    EmailVerificationRequested,
    LoginFailed,
    LoginSucceeded,
    PasswordRehashed,
    Profile,
    RefreshTokenReused,
    Role,
    RoleGranted,
    SessionRevoked,
    SessionStarted,
)
from domain.accounts.roster import LastAdminError
from domain.accounts.session import SessionNotFoundError
from domain.accounts.sign_in import AccountLockedError
from domain.claims.events import ValueClaimed
from domain.kernel import AccountId
from domain.sellers.events import PersonalSellerOpened
from tests.application.shop import PlainPasswords, Shop

PASSWORD = "Secret123"


def register(email: str = "emily@example.com", **fields: Any) -> RegisterAccount:
    person = NewPerson(email=email, password=PASSWORD, profile=Profile(first_name="Emily"), **fields)
    return RegisterAccount(person=person, origin=Origin(device="Firefox", address="10.0.0.1"))


EMILY = register()


@pytest.fixture
def shop() -> Shop:
    return Shop()


class TestRegistering:
    async def test_claims_account_and_session_in_one_append(self, shop: Shop) -> None:
        changed = await shop.handle(EMILY)
        events = await shop.events_after(0)
        assert [type(event) for event in events] == [
            ValueClaimed,
            ValueClaimed,
            AccountRegistered,
            EmailVerificationRequested,
            SessionStarted,
        ]
        account = changed.state.account
        assert (account.number, account.username, account.email_verified) == (1, "emily", False)
        assert changed.position == 5

    async def test_whoever_may_sell_has_a_shop_and_an_admin_is_on_the_roster(self, shop: Shop) -> None:
        await shop.handle(register(roles=frozenset({Role.SELLER, Role.ADMIN})))
        events = await shop.events_after(0)
        assert [type(event) for event in events if isinstance(event, PersonalSellerOpened | AdminAdded)] == [
            PersonalSellerOpened,
            AdminAdded,
        ]

    async def test_an_address_is_taken_in_any_case(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        head = await shop.log.head()
        with pytest.raises(EmailExistsError):
            await shop.handle(register("EMILY@example.com", username="other"))
        assert await shop.log.head() == head

    async def test_a_username_is_taken(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        with pytest.raises(UsernameExistsError):
            await shop.handle(register("b@example.com", username="Emily"))

    async def test_without_a_username_a_free_one_is_found(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        changed = await shop.handle(register("emily@example.org"))
        assert changed.state.account.username == "emily2"

    @pytest.mark.parametrize("local", ["1234567", "a", "--", "1"])
    async def test_no_username_looks_like_an_id(self, shop: Shop, local: str) -> None:
        username = (await shop.handle(register(f"{local}@example.org"))).state.account.username
        assert len(username) > 2
        assert not username.isdigit()

    async def test_the_log_holds_no_word_of_the_person(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        stored = b"".join(event.state for event in await shop.log.read(0, 100))
        assert b"emily" not in stored.lower()
        assert PASSWORD.encode() not in stored

    async def test_an_erased_person_reads_as_nobody(self, shop: Shop) -> None:
        changed = await shop.handle(EMILY)
        await shop.keys.destroy(changed.state.account.id)
        registered = next(
            event for event in await shop.events_after(0) if isinstance(event, AccountRegistered)
        )
        assert (registered.email, registered.first_name, registered.number) == ("", "", 1)


class TestSigningIn:
    @pytest.mark.parametrize("login", ["emily@example.com", "EMILY@EXAMPLE.COM", "emily"])
    async def test_by_address_or_username(self, shop: Shop, login: str) -> None:
        registered = await shop.handle(EMILY)
        changed = await shop.handle(LogIn(login=login, password=PASSWORD))
        assert changed.state.account == registered.state.account
        assert changed.state.session.id != registered.state.session.id

    @pytest.mark.parametrize("login", ["emily", "emily@example.com", "nobody", "nobody@example.com"])
    async def test_a_failure_is_refused_and_recorded_alike_whether_or_not_anybody_has_that_name(
        self, shop: Shop, login: str
    ) -> None:
        await shop.handle(EMILY)
        head = await shop.log.head()
        with pytest.raises(InvalidCredentialsError, match="Email or password incorrect") as refused:
            await shop.handle(LogIn(login=login, password="wrong"))
        assert refused.value.details == {}
        (failed,) = await shop.events_after(head)
        assert isinstance(failed, LoginFailed)
        assert failed.failed_at == shop.clock.at

    @pytest.mark.parametrize("login", ["emily", "nobody", "nobody@example.com"])
    async def test_the_same_is_asked_and_computed_whether_or_not_anybody_has_that_name(
        self, shop: Shop, login: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that the time it takes tells nothing either; `bench/accounts.py` measures that."""
        await shop.handle(EMILY)
        asked: list[str] = []
        histories, matches = shop.log.histories, PlainPasswords.matches

        async def counted(wanted: Any) -> Any:
            asked.append(f"log: {len(wanted)}")
            return await histories(wanted)

        async def computed(self: PlainPasswords, password: str, password_hash: str | None) -> bool:
            asked.append("argon2")
            return await matches(self, password, password_hash)

        monkeypatch.setattr(shop.log, "histories", counted)
        monkeypatch.setattr(PlainPasswords, "matches", computed)
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(LogIn(login=login, password="wrong"))
        assert asked == ["log: 1", "log: 3", "argon2"]

    @pytest.mark.parametrize("logins", [("emily", "emily@example.com"), ("nobody", "nobody")])
    async def test_five_failures_lock_for_a_quarter_of_an_hour(
        self, shop: Shop, logins: tuple[str, str]
    ) -> None:
        """Under whichever of its names, and also a name that nobody has."""
        await shop.handle(EMILY)
        for number in range(5):
            with pytest.raises(InvalidCredentialsError):
                await shop.handle(LogIn(login=logins[number % 2], password="wrong"))
        assert isinstance((await shop.events_after(0))[-1], AccountLocked)
        head = await shop.log.head()
        with pytest.raises(AccountLockedError) as locked:
            await shop.handle(LogIn(login=logins[0], password=PASSWORD))
        assert locked.value.details == {"retryAfter": 900}
        assert await shop.log.head() == head
        shop.clock.at += timedelta(minutes=15)
        if logins[0] == "emily":
            assert (
                await shop.handle(LogIn(login="emily", password=PASSWORD))
            ).state.account.username == "emily"
        else:
            with pytest.raises(InvalidCredentialsError):
                await shop.handle(LogIn(login="nobody", password=PASSWORD))

    async def test_success_ends_the_row(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        for _ in range(2):
            for _ in range(4):
                with pytest.raises(InvalidCredentialsError):
                    await shop.handle(LogIn(login="emily", password="wrong"))
            head = await shop.log.head()
            await shop.handle(LogIn(login="emily", password=PASSWORD))
            assert [type(event) for event in await shop.events_after(head)] == [
                LoginSucceeded,
                SessionStarted,
            ]

    async def test_failures_far_apart_are_no_row(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        for _ in range(6):
            with pytest.raises(InvalidCredentialsError):
                await shop.handle(LogIn(login="emily", password="wrong"))
            shop.clock.at += timedelta(minutes=16)

    async def test_a_password_that_was_hashed_the_old_way_is_hashed_anew(self, shop: Shop) -> None:
        account = (await shop.handle(EMILY)).state.account
        await shop.rehash(account.id, f"old hash of {PASSWORD}")
        head = await shop.log.head()
        await shop.handle(LogIn(login="emily", password=PASSWORD))
        rehashed, _ = await shop.events_after(head)
        assert rehashed == PasswordRehashed(account_id=account.id, password_hash=f"hash of {PASSWORD}")
        await shop.handle(LogIn(login="emily", password=PASSWORD))

    async def test_only_who_knows_the_password_learns_that_an_account_is_suspended(self, shop: Shop) -> None:
        account = (await shop.handle(EMILY)).state.account
        await shop.suspend(account.id)
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(LogIn(login="emily", password="wrong"))
        head = await shop.log.head()
        with pytest.raises(AccountSuspendedError):
            await shop.handle(LogIn(login="emily", password=PASSWORD))
        assert await shop.log.head() == head


class TestStayingSignedIn:
    async def test_a_token_is_exchanged_once_and_its_retry_is_answered_alike(self, shop: Shop) -> None:
        session = (await shop.handle(EMILY)).state.session
        first = await shop.handle(RefreshSession(session_id=session.id, generation=1))
        retry = await shop.handle(RefreshSession(session_id=session.id, generation=1))
        assert first.state.session.generation == retry.state.session.generation == 2

    async def test_a_reused_token_ends_the_session(self, shop: Shop) -> None:
        session = (await shop.handle(EMILY)).state.session
        await shop.handle(RefreshSession(session_id=session.id, generation=1))
        shop.clock.at += timedelta(minutes=1)
        head = await shop.log.head()
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=session.id, generation=1))
        assert await shop.events_after(head) == [
            RefreshTokenReused(session_id=session.id, generation=1),
            SessionRevoked(session_id=session.id, reason="refresh token reused"),
        ]
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=session.id, generation=2))

    async def test_after_signing_out_nothing_is_exchanged(self, shop: Shop) -> None:
        session = (await shop.handle(EMILY)).state.session
        await shop.handle(LogOut(session_id=session.id))
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=session.id, generation=1))

    async def test_signing_out_elsewhere_spares_this_session_only(self, shop: Shop) -> None:
        here = (await shop.handle(EMILY)).state
        there = (await shop.handle(LogIn(login="emily", password=PASSWORD))).state.session
        head = await shop.log.head()
        await shop.handle(RevokeOtherSessions(account_id=here.account.id, spared=here.session.id))
        (revoked,) = await shop.events_after(head)
        assert isinstance(revoked, AllSessionsRevoked)
        await shop.handle(RefreshSession(session_id=here.session.id, generation=1))
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=there.id, generation=1))
        later = (await shop.handle(LogIn(login="emily", password=PASSWORD))).state.session
        await shop.handle(RefreshSession(session_id=later.id, generation=1))

    async def test_nobody_ends_the_session_of_somebody_else(self, shop: Shop) -> None:
        emily = (await shop.handle(EMILY)).state
        other = (await shop.handle(register("other@example.com"))).state
        head = await shop.log.head()
        with pytest.raises(SessionNotFoundError):
            await shop.handle(RevokeSession(account_id=other.account.id, session_id=emily.session.id))
        assert await shop.log.head() == head


class TestRoles:
    async def admin(self, shop: Shop, name: str) -> AccountId:
        person = NewPerson(email=f"{name}@example.com", password=PASSWORD, roles=frozenset({Role.ADMIN}))
        account_id: AccountId = (await shop.handle(CreateAccount(person=person))).state.id
        return account_id

    async def test_granting_twice_is_recorded_once(self, shop: Shop) -> None:
        account = (await shop.handle(EMILY)).state.account
        head = await shop.log.head()
        grant = GrantRole(account_id=account.id, role=Role.AUDITOR)
        await shop.handle(grant)
        changed = await shop.handle(grant)
        assert changed.state.role is Role.AUDITOR
        assert await shop.events_after(head) == [RoleGranted(account_id=account.id, role=Role.AUDITOR)]

    @pytest.mark.parametrize(
        ("role", "left"),
        [
            (Role.USER, {Role.USER}),
            (Role.SELLER, {Role.USER, Role.SELLER}),
            (Role.AUDITOR, {Role.USER, Role.SELLER, Role.AUDITOR}),
            (Role.ADMIN, {Role.USER, Role.SELLER, Role.AUDITOR, Role.ADMIN}),
        ],
    )
    async def test_what_is_set_is_the_highest(self, shop: Shop, role: Role, left: set[Role]) -> None:
        boss = await self.admin(shop, "boss")
        everything = frozenset({Role.SELLER, Role.AUDITOR, Role.ADMIN})
        account = (await shop.handle(register(roles=everything))).state.account
        changed = await shop.handle(SetRole(account_id=account.id, role=role, by=boss))
        assert frozenset(changed.state.roles) == left

    async def test_nobody_changes_their_own_and_one_admin_remains(self, shop: Shop) -> None:
        first, second = await self.admin(shop, "first"), await self.admin(shop, "second")
        with pytest.raises(OwnRoleError):
            await shop.handle(SetRole(account_id=first, role=Role.USER, by=first))
        await shop.handle(SetRole(account_id=second, role=Role.USER, by=first))
        head = await shop.log.head()
        with pytest.raises(LastAdminError):
            await shop.handle(SetRole(account_id=first, role=Role.USER, by=second))
        assert await shop.log.head() == head
