"""`tradelog accounts`, as an operator types it, on a database that is given."""

from __future__ import annotations

import asyncio
import base64
import getpass
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import psycopg
import pytest

from application.accounts.people import owner_of_login
from application.accounts.registering import CreateAccount, NewPerson
from application.accounts.signing_in import InvalidCredentialsError, LogIn
from application.bootstrap import write_side
from application.ports import Metadata
from application.settings import Settings
from domain.accounts.account import ACCOUNTS, Account
from domain.accounts.events import Role
from tests.conftest import FreshDatabase
from workers.migrating import migrate

EMAIL = "root@shop.example.com"


class Log:
    """A database with the log's tables, and the command line beside it."""

    def __init__(self, url: str) -> None:
        self.environment: Mapping[str, str] = {
            "DATABASE_URL": url,
            "JWT_SECRET": "a secret of the tests, of 32 characters and more",
            "TRADELOG_MASTER_KEY": base64.b64encode(bytes(32)).decode(),
        }
        self.settings = Settings.read(self.environment)
        self.url = url

    def tradelog(self, *arguments: str, typed: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return subprocess.run(
            [sys.executable, "-m", "workers.cli", "accounts", *arguments],
            env={**kept, **self.environment, **more},
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def run(self, *arguments: str, **options: Any) -> str:
        ended = self.tradelog(*arguments, **options)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def refused(self, *arguments: str, **options: Any) -> str:
        before = self.head()
        ended = self.tradelog(*arguments, **options)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert self.head() == before
        return ended.stderr

    def head(self) -> int:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT position FROM log_head").fetchone()
        assert row is not None
        return int(row[0])

    def account(self, email: str) -> Account:
        async def load() -> Account:
            async with write_side(self.settings) as write:
                _, account_id = await owner_of_login(email, write.store, write.keys)
                assert account_id is not None
                return (await write.store.load(ACCOUNTS, account_id)).present

        return asyncio.run(load())

    def opens(self, login: str, password: str) -> bool:
        async def log_in() -> bool:
            async with write_side(self.settings) as write:
                try:
                    await write.bus.handle(LogIn(login=login, password=password), Metadata(actor="tests"))
                except InvalidCredentialsError:
                    return False
                return True

        return asyncio.run(log_in())

    def register(self, email: str) -> None:
        async def register() -> None:
            async with write_side(self.settings) as write:
                person = NewPerson(email=email, password="SecurePass123")
                await write.bus.handle(CreateAccount(person=person), Metadata(actor="tests"))

        asyncio.run(register())

    def actors(self) -> list[str]:
        async def read() -> list[str]:
            async with write_side(self.settings) as write:
                stored = await write.log.read(0, 1_000)
                return [recorded.actor for recorded in await write.log.decode(stored)]

        return asyncio.run(read())


@pytest.fixture
def log(fresh_database: FreshDatabase) -> Any:
    with fresh_database() as url:
        asyncio.run(migrate(url))
        yield Log(url)


class TestCreating:
    def test_makes_an_account_whose_password_is_shown_once(self, log: Log) -> None:
        said = log.run("create", "--role", "admin", EMAIL)
        assert f"{EMAIL} has an account with the role admin; its user name is root" in said
        password = said.split("password, shown this once: ")[1].splitlines()[0]
        assert log.account(EMAIL).role is Role.ADMIN
        assert set(log.actors()) == {f"operator:{getpass.getuser()}"}
        assert log.opens(EMAIL, password)
        assert len(password) >= 24

    def test_no_two_get_the_same_password(self, log: Log) -> None:
        passwords = {
            log.run("create", "--role", "auditor", f"{name}@shop.example.com").split("once: ")[1].split()[0]
            for name in ("first", "second")
        }
        assert len(passwords) == 2

    def test_asks_for_the_password_where_it_is_told_to(self, log: Log) -> None:
        chosen = "correct horse battery"
        said = log.run("create", "--prompt", "--role", "auditor", EMAIL, typed=f"{chosen}\n")
        assert chosen not in said
        assert "shown this once" not in said
        assert log.account(EMAIL).role is Role.AUDITOR
        assert log.opens(EMAIL, chosen)

    @pytest.mark.parametrize(
        ("email", "typed", "why"),
        [
            (EMAIL, "short\n", "the password must have 12 to 128 characters"),
            ("nobody", "correct horse battery\n", "nobody is no e-mail address"),
        ],
    )
    def test_refuses_what_is_no_account(self, log: Log, email: str, typed: str, why: str) -> None:
        ended = log.tradelog("create", "--prompt", "--role", "admin", email, typed=typed)
        assert (ended.returncode, ended.stderr) == (1, f"tradelog: {why}\n")
        assert log.head() == 0

    def test_does_not_take_over_an_account(self, log: Log) -> None:
        log.register(EMAIL)
        assert log.refused("create", "--role", "admin", EMAIL) == "tradelog: Email already registered\n"
        assert log.account(EMAIL).role is Role.USER

    def test_takes_no_password_as_an_argument(self, log: Log) -> None:
        ended = log.tradelog("create", "--role", "admin", EMAIL, "--password", "Secret123456")
        assert ended.returncode == 2
        assert log.head() == 0


class TestGranting:
    @pytest.mark.parametrize("role", [Role.ADMIN, Role.AUDITOR])
    def test_gives_a_role_to_somebody_who_is_there(self, log: Log, role: Role) -> None:
        log.register(EMAIL)
        assert log.run("grant", "--role", role.value, EMAIL) == f"{EMAIL} is {role} now\n"
        assert log.account(EMAIL).role is role
        assert log.actors()[-1] == f"operator:{getpass.getuser()}"

    def test_twice_is_said_and_recorded_once(self, log: Log) -> None:
        log.register(EMAIL)
        log.run("grant", "--role", "admin", EMAIL)
        head = log.head()
        assert log.run("grant", "--role", "admin", EMAIL) == f"{EMAIL} is admin already\n"
        assert log.head() == head

    def test_needs_somebody_who_is_there(self, log: Log) -> None:
        assert "nobody has an account with" in log.refused("grant", "--role", "admin", EMAIL)

    @pytest.mark.parametrize("role", ["user", "seller", "king"])
    def test_is_for_admins_and_auditors(self, log: Log, role: str) -> None:
        log.register(EMAIL)
        ended = log.tradelog("grant", "--role", role, EMAIL)
        assert ended.returncode == 2
        assert log.account(EMAIL).role is Role.USER

    def test_refuses_in_production_what_every_process_refuses(self, log: Log) -> None:
        refusal = log.refused("grant", "--role", "admin", EMAIL, APP_ENV="production")
        assert refusal.startswith("tradelog: production does not start like this:\n")
        assert "JWT_SECRET is a default, or easily guessed" in refusal
