"""Somebody is erased: their key goes, and with it all that the log, its copies and its backups say of them."""

from __future__ import annotations

from application.accounts.standing import ForgetPerson
from domain.accounts.events import AccountErased


def forget_person_of(event: AccountErased) -> list[ForgetPerson]:
    return [ForgetPerson(account_id=event.account_id)]
