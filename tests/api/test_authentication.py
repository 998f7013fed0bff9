"""Whom a token is believed to be, and for how long: what ends a session ends it on every process at once."""

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.authentication import Authenticator, require_recent_sign_in, signed_in
from application.errors import AuthenticationError, ReauthenticationError, TokenExpiredError
from application.ports import Loaded, StreamRef
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import (
    AccountRegistered,
    AccountSuspended,
    AllSessionsRevoked,
    Caller,
    Role,
    RoleGranted,
    RoleRevoked,
    SessionRevoked,
    SessionStarted,
)
from domain.accounts.session import SESSIONS, Session
from domain.kernel import AccountId
from tests.api.shop import Client, Shop, assert_problem, soon
from tests.conftest import FreshDatabase

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


class Said:
    """An access token that was read."""

    def __init__(self, account_id: AccountId, session_id: UUID, *roles: Role) -> None:
        self.caller = Caller(account_id=account_id, number=1, roles=frozenset(roles or {Role.USER}))
        self.session_id = session_id
        self.expires_at = NOW + timedelta(minutes=15)


class World:
    """Somebody with two sessions, in a log that counts who looks."""

    def __init__(self) -> None:
        self.now_is = NOW
        self.looks = 0
        self.account_id = AccountId(uuid4())
        self.tokens = {"one": Said(self.account_id, uuid4()), "two": Said(self.account_id, uuid4())}
        self.account: Account | None = None
        self.sessions: dict[UUID, Session | None] = {}
        self.meanwhile: Any = None
        self.tell(
            AccountRegistered(
                account_id=self.account_id, number=1, email="e", username="u", password_hash="h"
            )
        )
        for token in self.tokens.values():
            self.end(
                SessionStarted(
                    session_id=token.session_id,
                    account_id=self.account_id,
                    started_at=NOW,
                    expires_at=NOW + timedelta(days=7),
                )
            )
        self.authenticator = Authenticator(self, self, self)  # type: ignore[arg-type]

    def tell(self, *events: Any) -> None:
        self.account = ACCOUNTS.fold(self.account, events)

    def end(self, event: Any) -> None:
        self.sessions[event.session_id] = SESSIONS.fold(self.sessions.get(event.session_id), [event])

    def now(self) -> datetime:
        return self.now_is

    def read_access(self, token: str) -> Said:
        if token not in self.tokens:
            raise AuthenticationError("Invalid or expired token")
        return self.tokens[token]

    async def load_many(self, refs: list[StreamRef[Any, Any]]) -> list[Loaded[Any]]:
        self.looks += 1
        session, account = (
            self.sessions.get(refs[0].id),
            self.account if refs[1].id == self.account_id else None,
        )
        await asyncio.sleep(0)
        if self.meanwhile is not None:
            self.meanwhile()
        return [Loaded(state=session, version=1), Loaded(state=account, version=1)]


@pytest.fixture
def world() -> World:
    return World()


class TestRemembering:
    async def test_a_session_is_looked_at_with_its_account_and_then_remembered(self, world: World) -> None:
        world.authenticator.listen(True)
        access, *_ = [await world.authenticator.read("one") for _ in range(3)]
        assert world.looks == 1
        assert access.caller == world.tokens["one"].caller
        assert access.started_at == NOW

    async def test_while_nothing_is_heard_nothing_is_remembered(self, world: World) -> None:
        for expected in (1, 2, 3):
            await world.authenticator.read("one")
            assert world.looks == expected
        world.authenticator.listen(True)
        await world.authenticator.read("one")
        await world.authenticator.read("one")
        assert world.looks == 4
        world.authenticator.listen(False)
        world.end(SessionRevoked(session_id=world.tokens["one"].session_id, reason="test"))
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("one")

    async def test_what_was_missed_in_between_is_looked_at_again(self, world: World) -> None:
        world.authenticator.listen(True)
        await world.authenticator.read("one")
        world.authenticator.listen(False)
        world.end(SessionRevoked(session_id=world.tokens["one"].session_id, reason="test"))
        world.authenticator.listen(True)
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("one")

    async def test_forgetting_a_session_leaves_the_others(self, world: World) -> None:
        world.authenticator.listen(True)
        await world.authenticator.read("one")
        await world.authenticator.read("two")
        world.authenticator.forget(world.tokens["one"].session_id)
        world.authenticator.forget(uuid4())
        await world.authenticator.read("two")
        assert world.looks == 2
        await world.authenticator.read("one")
        assert world.looks == 3

    async def test_forgetting_an_account_forgets_all_its_sessions(self, world: World) -> None:
        world.authenticator.listen(True)
        await world.authenticator.read("one")
        await world.authenticator.read("two")
        world.authenticator.forget_account(uuid4())
        await world.authenticator.read("one")
        assert world.looks == 2
        world.tell(
            AllSessionsRevoked(
                account_id=world.account_id, reason="test", spared=world.tokens["two"].session_id
            )
        )
        world.authenticator.forget_account(world.account_id)
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("one")
        await world.authenticator.read("two")

    async def test_of_whoever_is_erased_no_token_is_kept_in_which_stands_who_they_were(
        self, world: World
    ) -> None:
        world.authenticator.listen(True)
        for token in ("one", "two"):
            await world.authenticator.read(token)
        assert set(world.authenticator._verified) == {"one", "two"}
        world.authenticator.forget_person(uuid4())
        assert set(world.authenticator._verified) == {"one", "two"}
        world.authenticator.forget_person(world.account_id)
        assert world.authenticator._verified == {}
        world.account = None
        for token in ("one", "two"):
            with pytest.raises(AuthenticationError):
                await world.authenticator.read(token)
        assert world.authenticator._verified == {}

    async def test_nor_one_that_was_being_looked_at_then(self, world: World) -> None:
        world.authenticator.listen(True)
        world.meanwhile = lambda: world.authenticator.forget_person(world.account_id)
        await world.authenticator.read("one")
        assert (world.authenticator._verified, world.authenticator._live) == ({}, {})

    @pytest.mark.parametrize("what", ["forget", "forget_account", "listen"])
    async def test_what_ends_while_one_looks_is_not_remembered_as_alive(
        self, world: World, what: str
    ) -> None:
        world.authenticator.listen(True)
        ids: dict[str, Any] = {
            "forget": world.tokens["one"].session_id,
            "forget_account": world.account_id,
            "listen": True,
        }
        world.meanwhile = lambda: getattr(world.authenticator, what)(ids[what])
        await world.authenticator.read("one")
        world.meanwhile = None
        world.end(SessionRevoked(session_id=world.tokens["one"].session_id, reason="test"))
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("one")

    async def test_news_of_others_does_not_keep_it_from_remembering(self, world: World) -> None:
        world.authenticator.listen(True)
        world.meanwhile = lambda: world.authenticator.forget_account(uuid4())
        await world.authenticator.read("one")
        await world.authenticator.read("one")
        assert world.looks == 1

    async def test_memory_has_an_end(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.authentication.MOST_REMEMBERED", 1)
        world.authenticator.listen(True)
        for token in ("one", "two", "one", "two"):
            await world.authenticator.read(token)
        assert len(world.authenticator._live) == len(world.authenticator._sessions[world.account_id]) == 1


class TestWhatTheAccountSays:
    async def test_roles_are_those_of_now_whatever_the_token_says(self, world: World) -> None:
        world.tell(RoleGranted(account_id=world.account_id, role=Role.ADMIN))
        assert (await world.authenticator.read("one")).caller.is_admin
        world.tell(RoleRevoked(account_id=world.account_id, role=Role.ADMIN))
        world.tokens["one"].caller = Caller(
            account_id=world.account_id, number=1, roles=frozenset({Role.USER, Role.ADMIN})
        )
        world.authenticator.forget_account(world.account_id)
        assert not (await world.authenticator.read("one")).caller.is_admin

    async def test_a_suspended_account_is_out(self, world: World) -> None:
        world.tell(AccountSuspended(account_id=world.account_id, suspended_at=NOW, reason="test"))
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("one")

    async def test_a_session_of_somebody_else_proves_nothing(self, world: World) -> None:
        world.authenticator.listen(True)
        await world.authenticator.read("one")
        world.tokens["forged"] = Said(AccountId(uuid4()), world.tokens["one"].session_id)
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("forged")

    async def test_a_session_or_a_token_that_has_expired_is_over(self, world: World) -> None:
        await world.authenticator.read("one")
        world.now_is = NOW + timedelta(minutes=15)
        with pytest.raises(TokenExpiredError):
            await world.authenticator.read("one")
        world.tokens["one"].expires_at = NOW + timedelta(days=30)
        world.now_is = NOW + timedelta(days=7)
        with pytest.raises(AuthenticationError):
            await world.authenticator.read("one")


class TestRecentlySignedIn:
    @pytest.mark.parametrize(("minutes", "good"), [(0, True), (14, True), (15, False), (600, False)])
    async def test_is_less_than_a_quarter_of_an_hour_ago(
        self, world: World, minutes: int, good: bool
    ) -> None:
        world.now_is = NOW + timedelta(minutes=minutes)
        world.tokens["one"].expires_at = NOW + timedelta(days=1)
        state = SimpleNamespace(authenticator=world.authenticator, clock=world, limits=None)
        connection: Any = SimpleNamespace(
            scope={"state": {}}, headers={"authorization": "Bearer one"}, app=SimpleNamespace(state=state)
        )
        await signed_in(connection, None)  # type: ignore[arg-type]
        if good:
            require_recent_sign_in(connection)
        else:
            with pytest.raises(ReauthenticationError):
                require_recent_sign_in(connection)


@pytest.fixture(scope="module")
def two(fresh_database: FreshDatabase, servers_folder: Path) -> Iterator[tuple[Shop, str]]:
    """A shop of our own, because its NATS will be killed, and the origin of its second API process."""
    folder = servers_folder / "two-processes"
    with fresh_database() as url, Shop(url, folder) as shop, shop.another_api() as origin:
        yield shop, origin
    shutil.rmtree(folder, ignore_errors=True)


class TestSeveralProcesses:
    """What is ended on one is over on the other, whether they hear of each other or not."""

    def signed_in(self, shop: Shop, origin: str) -> tuple[Client, Client]:
        here = shop.user()
        there = shop.client(here.token, origin=origin)
        assert here.get("/auth/validate").status_code == 405
        for _ in range(3):
            assert here.post("/auth/validate").status_code == there.post("/auth/validate").status_code == 200
        return here, there

    def test_a_session_ends_everywhere(self, two: tuple[Shop, str]) -> None:
        shop, origin = two
        here, there = self.signed_in(shop, origin)
        assert here.post("/auth/logout").status_code == 200
        assert here.get("/cart").status_code == 401
        soon(lambda: there.get("/cart").status_code == 401, "the end of the session", within=1)
        assert_problem(there.get("/cart"), 401, "UNAUTHORIZED")

    def test_a_role_counts_everywhere_without_a_new_token(self, two: tuple[Shop, str]) -> None:
        shop, origin = two
        admin = shop.staff(Role.ADMIN)
        here, there = self.signed_in(shop, origin)
        user = here.post("/auth/validate").json()["user"]
        assert there.get("/audit/events").status_code == 403
        granted = admin.patch(f"/admin/users/{user['id']}/role", {"role": "auditor"})
        assert granted.status_code == 200
        soon(lambda: there.get("/audit/events").status_code == 200, "the role", within=1)

    def test_also_while_the_relay_is_away(self, two: tuple[Shop, str]) -> None:
        shop, origin = two
        here, there = self.signed_in(shop, origin)
        shop.run(shop.processes["relay"].stop())
        try:
            assert here.post("/auth/logout").status_code == 200
            soon(lambda: there.get("/cart").status_code == 401, "the end of the session", within=1)
        finally:
            shop.processes["relay"].start()

    def test_also_when_nobody_can_tell(self, two: tuple[Shop, str]) -> None:
        shop, origin = two
        here, there = self.signed_in(shop, origin)
        shop.nats.kill()
        assert here.post("/auth/logout").status_code == 200
        soon(lambda: there.get("/cart").status_code == 401, "the end of the session", within=1)
        other_here, other_there = self.signed_in(shop, origin)
        assert other_here.post("/auth/logout").status_code == 200
        assert other_there.get("/cart").status_code == 401, "without NATS every request looks"
        shop.run(shop.nats.start())
