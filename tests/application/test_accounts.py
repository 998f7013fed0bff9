"""Signing up and in, on a log in memory."""

from __future__ import annotations

from datetime import timedelta

import pytest

from application.accounts.registering import RegisterAccount
from application.accounts.roles import GrantRole
from application.accounts.signing_in import InvalidCredentialsError, LogIn, LogOut, RefreshSession
from application.errors import AuthenticationError
from domain.accounts.account import EmailExistsError, UsernameExistsError
from domain.accounts.events import AccountRegistered, Role, RoleGranted, SessionStarted
from domain.claims.events import ValueClaimed
from tests.application.shop import Shop

EMILY = RegisterAccount(email="emily@example.com", password="Secret123", first_name="Emily")


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
            SessionStarted,
        ]
        assert changed.state.account.number == 1
        assert changed.state.account.username == "emily"
        assert changed.position == 4

    async def test_an_address_is_taken_in_any_case(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        head = await shop.log.head()
        with pytest.raises(EmailExistsError):
            await shop.handle(
                RegisterAccount(email="EMILY@example.com", password="Secret123", username="other")
            )
        assert await shop.log.head() == head

    async def test_a_username_is_taken(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        with pytest.raises(UsernameExistsError):
            await shop.handle(RegisterAccount(email="b@example.com", password="Secret123", username="Emily"))

    async def test_without_a_username_a_free_one_is_found(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        changed = await shop.handle(RegisterAccount(email="emily@example.org", password="Secret123"))
        assert changed.state.account.username == "emily2"

    async def test_the_log_holds_no_word_of_the_person(self, shop: Shop) -> None:
        await shop.handle(EMILY)
        stored = b"".join(event.state for event in await shop.log.read(0, 100))
        assert b"emily" not in stored.lower()
        assert b"Secret123" not in stored

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
        changed = await shop.handle(LogIn(login=login, password="Secret123"))
        assert changed.state.account == registered.state.account
        assert changed.state.session.id != registered.state.session.id

    @pytest.mark.parametrize(("login", "password"), [("emily", "wrong"), ("nobody", "Secret123"), ("", "")])
    async def test_anything_else_is_refused_alike_and_leaves_no_trace(
        self, shop: Shop, login: str, password: str
    ) -> None:
        await shop.handle(EMILY)
        head = await shop.log.head()
        with pytest.raises(InvalidCredentialsError, match="Email or password incorrect"):
            await shop.handle(LogIn(login=login, password=password))
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
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=session.id, generation=1))
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=session.id, generation=2))

    async def test_after_signing_out_nothing_is_exchanged(self, shop: Shop) -> None:
        session = (await shop.handle(EMILY)).state.session
        await shop.handle(LogOut(session_id=session.id))
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=session.id, generation=1))


class TestRoles:
    async def test_granting_twice_is_recorded_once(self, shop: Shop) -> None:
        account = (await shop.handle(EMILY)).state.account
        head = await shop.log.head()
        grant = GrantRole(account_id=account.id, role=Role.SELLER)
        await shop.handle(grant)
        changed = await shop.handle(grant)
        assert changed.state.role is Role.SELLER
        assert await shop.events_after(head) == [RoleGranted(account_id=account.id, role=Role.SELLER)]
