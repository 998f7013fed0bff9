"""Who the first admin and the first auditor are: an operator says so, for nobody else could yet."""

from __future__ import annotations

import getpass
import re
import secrets
from collections.abc import Mapping
from typing import Final

from rich.console import Console

from application.accounts.people import owner_of_login
from application.accounts.registering import CreateAccount, NewPerson
from application.accounts.standing import GrantRole
from application.bootstrap import write_side
from application.ports import Metadata
from application.settings import Settings
from domain.accounts.account import ACCOUNTS, UserNotFoundError
from domain.accounts.events import Role
from domain.kernel import InvalidInputError

SHORTEST_PASSWORD: Final = 12
LONGEST_PASSWORD: Final = 128

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


async def grant(environment: Mapping[str, str], email: str, role: Role, console: Console) -> None:
    """One role more for somebody who has an account. It holds at once, in every session of theirs."""
    async with write_side(Settings.read(environment)) as write:
        _, account_id = await owner_of_login(email, write.store, write.keys)
        if account_id is None:
            raise UserNotFoundError(
                f"nobody has an account with {email}: `tradelog accounts create` makes one"
            )
        account = (await write.store.load(ACCOUNTS, account_id)).present
        # Also for who has the role already: an admin from before there was a roster gets onto it.
        await write.bus.handle(GrantRole(account_id=account_id, role=role), _metadata())
        console.print(f"{email} is {role} {'already' if role in account.roles else 'now'}")


async def create(
    environment: Mapping[str, str], email: str, role: Role, password: str | None, console: Console
) -> None:
    """An account with that role. A password that is made up here is shown once and known nowhere else."""
    _require_good(email, password)
    made_up = password is None
    secret = password or f"{secrets.token_urlsafe(18)}-A1"
    async with write_side(Settings.read(environment)) as write:
        person = NewPerson(email=email, password=secret, roles=frozenset({role}))
        changed = await write.bus.handle(CreateAccount(person=person), _metadata())
    console.print(f"{email} has an account with the role {role}; its user name is {changed.state.username}")
    if made_up:
        console.print(f"password, shown this once: {secret}", markup=False)
    console.print(
        "To choose another one: POST /auth/change-password when signed in, or POST /auth/forgot-password"
    )


def _require_good(email: str, password: str | None) -> None:
    faults: dict[str, list[str]] = {}
    if not _EMAIL.fullmatch(email):
        faults["email"] = [f"{email} is no e-mail address"]
    if password is not None and not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        faults["password"] = [f"the password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters"]
    if faults:
        raise InvalidInputError(faults, "; ".join(each for found in faults.values() for each in found))


def _metadata() -> Metadata:
    return Metadata(actor=f"operator:{getpass.getuser()}")
