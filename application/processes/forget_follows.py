"""Whoever is erased follows nobody: the sellers' counts must not tell of people who are gone."""

from __future__ import annotations

from application.follows.following import ForgetFollows
from domain.accounts.events import AccountErased


def forget_follows_of(event: AccountErased) -> list[ForgetFollows]:
    return [ForgetFollows(account_id=event.account_id)]
