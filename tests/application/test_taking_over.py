"""Ways into an account of somebody else that must not be there, on a log in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from application.accounts.identities import SignInWithIdentity
from application.accounts.passwords import ChangePassword, RequestPasswordReset, ResetPassword
from application.accounts.people import SignedIn
from application.accounts.profile import NewPassword, UpdateAccount
from application.accounts.registering import NewPerson, RegisterAccount
from application.accounts.signing_in import (
    InvalidCredentialsError,
    LogIn,
    LogOut,
    RefreshSession,
    RevokeOtherSessions,
)
from application.accounts.standing import CancelDeletionByPassword, RequestDeletion
from application.errors import AuthenticationError
from application.ports import Answer, Metadata, Once, VerifiedIdentity
from domain.accounts.account import ACCOUNTS, EmailExistsError, InvalidTokenError
from domain.accounts.events import AccountLocked, LoginFailed, RefreshTokenReused, SessionRevoked
from domain.accounts.sign_in import MOST_FAILURES, AccountLockedError
from domain.kernel import DomainError
from tests.application.shop import PlainPasswords, Shop

PASSWORD = "Secret123"
AT_ONCE = 16


@pytest.fixture
def shop() -> Shop:
    return Shop()


async def registered(shop: Shop, email: str = "mallory@example.com", *, verified: bool = True) -> SignedIn:
    person = NewPerson(email=email, password=PASSWORD, email_verified=verified)
    signed_in: SignedIn = (await shop.handle(RegisterAccount(person=person))).state
    return signed_in


def google(subject: str, email: str) -> SignInWithIdentity:
    identity = VerifiedIdentity(provider="google", subject=subject, email=email, email_verified=True)
    return SignInWithIdentity(identity=identity)


class TestAnotherAddress:
    async def test_a_reset_link_to_the_old_one_is_good_for_nothing(self, shop: Shop) -> None:
        """It would set a password from a mailbox that was given up, and prove an address that it never went to."""
        account = (await registered(shop)).account
        await shop.handle(RequestPasswordReset(email="mallory@example.com"))
        await shop.handle(UpdateAccount(account_id=account.id, email="victim@example.com"))
        with pytest.raises(InvalidTokenError):
            await shop.handle(ResetPassword(account_id=account.id, number=1, new_password="Another1"))
        assert not (await shop.store.load(ACCOUNTS, account.id)).present.email_verified
        await shop.handle(RequestPasswordReset(email="victim@example.com"))
        await shop.handle(ResetPassword(account_id=account.id, number=2, new_password="Another1"))
        assert (await shop.store.load(ACCOUNTS, account.id)).present.email_verified

    async def test_whoever_linked_an_identity_before_it_was_proved_is_out_with_the_password(
        self, shop: Shop
    ) -> None:
        account = (await registered(shop)).account
        await shop.handle(google("g-mallory", "mallory@example.com"))
        await shop.handle(UpdateAccount(account_id=account.id, email="victim@example.com"))
        await shop.handle(RequestPasswordReset(email="victim@example.com"))
        await shop.handle(ResetPassword(account_id=account.id, number=1, new_password="Another1"))
        assert (await shop.store.load(ACCOUNTS, account.id)).present.identities == ()
        elsewhere = (await shop.handle(google("g-mallory", "mallory@example.com"))).state
        assert elsewhere.account.id != account.id

    async def test_who_has_proved_theirs_keeps_their_identities(self, shop: Shop) -> None:
        account = (await registered(shop)).account
        await shop.handle(google("g-1", "mallory@example.com"))
        await shop.handle(RequestPasswordReset(email="mallory@example.com"))
        await shop.handle(ResetPassword(account_id=account.id, number=1, new_password="Another1"))
        assert (await shop.handle(google("g-1", "mallory@example.com"))).state.account.id == account.id

    @pytest.mark.parametrize(
        ("here", "there"),
        [
            ("jo@strasse.de", "jo@straße.de"),
            ("jk@example.com", "j\N{KELVIN SIGN}@example.com"),
            ("fi@example.com", "\N{LATIN SMALL LIGATURE FI}@example.com"),
        ],
    )
    async def test_one_that_only_looks_the_same_to_us_links_nobody(
        self, shop: Shop, here: str, there: str
    ) -> None:
        """What no two people may register may still be two mailboxes."""
        await registered(shop, here)
        head = await shop.log.head()
        with pytest.raises(EmailExistsError):
            await shop.handle(google("g-2", there))
        assert await shop.log.head() == head

    async def test_takes_the_right_password_where_one_is_given(self, shop: Shop) -> None:
        account = (await registered(shop)).account
        change = UpdateAccount(account_id=account.id, email="new@example.com", current_password="wrong")
        with pytest.raises(InvalidCredentialsError):
            await shop.handle(change)
        assert (await shop.store.load(ACCOUNTS, account.id)).present.email == "mallory@example.com"


class TestGuessingAtOnce:
    """Whoever tries many passwords at the same time is told no more than five times that one is wrong."""

    @pytest.fixture(autouse=True)
    def together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All are let in before the first one is found to be wrong; the right one is found last."""
        everybody = asyncio.Barrier(AT_ONCE)
        done: Counter[str] = Counter()
        compare = PlainPasswords.matches

        async def matches(self: PlainPasswords, password: str, password_hash: str | None) -> bool:
            await everybody.wait()
            for _ in range(100 if password == PASSWORD else done["wrong"]):
                await asyncio.sleep(0)
            done["wrong"] += 1
            return await compare(self, password, password_hash)

        monkeypatch.setattr(PlainPasswords, "matches", matches)

    async def outcomes(self, shop: Shop, *commands: object) -> list[object]:
        return [
            type(outcome) if isinstance(outcome, DomainError) else outcome
            for outcome in await asyncio.gather(
                *(shop.handle(command) for command in commands), return_exceptions=True
            )
        ]

    def assert_locked(self, outcomes: list[object]) -> None:
        assert Counter(outcomes) == {
            InvalidCredentialsError: MOST_FAILURES,
            AccountLockedError: AT_ONCE - MOST_FAILURES,
        }
        assert outcomes[-1] is AccountLockedError

    async def test_at_the_door(self, shop: Shop) -> None:
        await registered(shop)
        head = await shop.log.head()
        tries = [LogIn(login="mallory", password=f"Wrong{n}") for n in range(AT_ONCE - 1)]
        self.assert_locked(await self.outcomes(shop, *tries, LogIn(login="mallory", password=PASSWORD)))
        recorded = [type(event) for event in await shop.events_after(head)]
        assert recorded == [LoginFailed] * MOST_FAILURES + [AccountLocked]

    async def test_under_a_name_that_nobody_has(self, shop: Shop) -> None:
        tries = [LogIn(login="nobody", password=f"Wrong{n}") for n in range(AT_ONCE - 1)]
        self.assert_locked(await self.outcomes(shop, *tries, LogIn(login="nobody", password=PASSWORD)))

    async def test_at_having_the_account_back(self, shop: Shop) -> None:
        account = (await registered(shop)).account
        await shop.handle(RequestDeletion(account_id=account.id, password=None))
        tries = [CancelDeletionByPassword(login="mallory", password=f"Wrong{n}") for n in range(AT_ONCE - 1)]
        right = CancelDeletionByPassword(login="mallory", password=PASSWORD)
        self.assert_locked(await self.outcomes(shop, *tries, right))

    async def test_inside(self, shop: Shop) -> None:
        signed_in = await registered(shop)

        def change(current: str) -> ChangePassword:
            return ChangePassword(
                account_id=signed_in.account.id,
                session_id=signed_in.session.id,
                current_password=current,
                new_password="Another1",
            )

        tries = [change(f"Wrong{n}") for n in range(AT_ONCE - 1)]
        self.assert_locked(await self.outcomes(shop, *tries, change(PASSWORD)))


class TestASessionThatHasEnded:
    """For a moment a process may still believe in it. It must not use that to come back to life."""

    async def ended(self, shop: Shop, how: str) -> tuple[SignedIn, UUID]:
        owner = await registered(shop)
        thief: SignedIn = (await shop.handle(LogIn(login="mallory", password=PASSWORD))).state
        if how == "revoked":
            await shop.handle(LogOut(session_id=thief.session.id))
        elif how == "expired":
            shop.clock.at += timedelta(days=8)
        else:
            await shop.handle(RevokeOtherSessions(account_id=owner.account.id, spared=owner.session.id))
        return owner, thief.session.id

    @pytest.mark.parametrize("how", ["revoked", "expired", "not spared"])
    async def test_spares_itself_from_nothing(self, shop: Shop, how: str) -> None:
        owner, thief = await self.ended(shop, how)
        account_id = owner.account.id
        head = await shop.log.head()
        for command in (
            RevokeOtherSessions(account_id=account_id, spared=thief),
            ChangePassword(
                account_id=account_id, session_id=thief, current_password=PASSWORD, new_password="Another1"
            ),
            UpdateAccount(
                account_id=account_id,
                password=NewPassword(current=None, password="Another1", session_id=thief),
            ),
        ):
            with pytest.raises(AuthenticationError):
                await shop.handle(command)
        with pytest.raises(AuthenticationError):
            await shop.handle(RefreshSession(session_id=thief, generation=1))
        assert await shop.log.head() == head

    async def test_nor_does_one_of_somebody_else(self, shop: Shop) -> None:
        owner, other = await registered(shop), await registered(shop, "other@example.com")
        with pytest.raises(AuthenticationError):
            await shop.handle(RevokeOtherSessions(account_id=owner.account.id, spared=other.session.id))


class TestATokenThatWasUsedBefore:
    async def test_is_refused_again_when_the_thief_repeats_the_request(self, shop: Shop) -> None:
        """Nothing but what was answered may be answered to an ``Idempotency-Key``."""
        session_id = (await registered(shop)).session.id
        for generation in (1, 2):
            await shop.handle(RefreshSession(session_id=session_id, generation=generation))
        once = Once(
            scope="anonymous", key="key", request_hash=b"hash", answer=lambda _: Answer(status=200, body=b"")
        )
        head = await shop.log.head()
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                await shop.handle(
                    RefreshSession(session_id=session_id, generation=1), Metadata(actor="tests", once=once)
                )
        recorded = [type(event) for event in await shop.events_after(head)]
        assert recorded == [RefreshTokenReused, SessionRevoked]


class TestNames:
    @pytest.mark.parametrize(
        "local", ["profile", "Addresses", "0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 36]
    )
    async def test_none_is_made_that_nobody_may_choose(self, shop: Shop, local: str) -> None:
        """In a path it would stand for somebody or something else."""
        username = (await registered(shop, f"{local}@example.com")).account.username
        assert username == f"user-{local.lower()}"
